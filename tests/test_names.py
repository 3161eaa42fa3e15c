from lightning_explain.names import class_name, random_lines


def test_the_line_of_a_class_is_that_of_the_same_samples():
    scored = [("saliency", "", "srg"), ("grad_cam@conv", "", "srg"), ("saliency@conv", "@conv", "infidelity")]
    lines = random_lines("a", scored, [0, 7])
    assert lines["a/grad_cam@conv/srg"] == "a/random/srg"
    assert lines["a/saliency@conv/infidelity"] == "a/random@conv/infidelity"
    assert lines["a/saliency@conv/infidelity/class_7"] == "a/random@conv/infidelity/class_7"
    assert len(lines) == 9
    for score, line in random_lines("a", scored).items():
        assert lines[class_name(score, 0)] == class_name(line, 0)
