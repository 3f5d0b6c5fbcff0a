"""What `labctl drill` says around a drill's own texts, in every language; and which language to speak."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field

from .schema import LANGUAGES, Text
from .steps import fill

# The texts in the order of LANGUAGES.
MESSAGES: Mapping[str, tuple[str, str]] = {
    "minutes": ("{0} min", "{0}분"),
    "done": ("done", "완료"),
    "shown": ("solution seen", "풀이를 봄"),
    "open": ("open", "진행 중"),
    "new": ("-", "-"),
    "impossible": ("not possible here: {0}", "여기서는 할 수 없음: {0}"),
    "no_lab": ("(there is no lab here yet: labctl provision)", "(아직 실습 환경이 없습니다: labctl provision)"),
    "look": (
        "Look around with kubectl, log in with `labctl ssh NODE`.",
        "kubectl로 살펴보고 `labctl ssh NODE`로 접속해 보십시오.",
    ),
    "then": (
        "Then: labctl drill check   (also: labctl drill hint, observe, solve, reset)",
        "다음: labctl drill check   (그 밖에: labctl drill hint, observe, solve, reset)",
    ),
    "hint": ("Hint {0} of 3", "힌트 {0}/3"),
    "no_more_hints": (
        "That was the last hint. `labctl drill solve` shows the solution.",
        "마지막 힌트였습니다. `labctl drill solve`로 풀이를 볼 수 있습니다.",
    ),
    "solved": ("Solved in {0}.", "{0} 만에 해결했습니다."),
    "solved_by_labctl": ("Solved by labctl.", "labctl이 해결했습니다."),
    "unsolved": (
        "Not solved yet: {0} of {1} goals are reached.",
        "아직 해결되지 않았습니다. 목표 {1}개 중 {0}개를 이루었습니다.",
    ),
    "after": ("Back to the lab as it was: labctl drill reset", "실습 환경을 원래대로 되돌리기: labctl drill reset"),
    "reset": ("{0} is put away; the lab is verified.", "{0} 드릴을 정리하고 실습 환경의 검증을 마쳤습니다."),
    "breaking": ("Break the lab: {0}", "실습 환경을 고장 냅니다: {0}"),
    "repairing": ("Repair the lab: {0}", "실습 환경을 고칩니다: {0}"),
    "putting_back": ("Put everything back: {0}", "모두 원래대로 되돌립니다: {0}"),
    "recovering": ("Kubernetes recovers", "쿠버네티스가 회복하는 중입니다"),
    "explain": ("What was wrong, and what repairs it", "무엇이 잘못되었고 어떻게 고치는지"),
    "no_questions": ("This drill asks no questions.", "이 드릴에는 관찰 질문이 없습니다."),
    "question": ("Question {0}", "질문 {0}"),
    "skip": ("answer (Enter skips)", "답 (Enter를 누르면 건너뜁니다)"),
    "right": ("right", "맞습니다"),
    "not_right": ("not what can be seen here; look again", "지금 보이는 것과 다릅니다. 다시 살펴보십시오"),
    "answer_with": ("Answer with: labctl drill observe --answer 1=...", "답하기: labctl drill observe --answer 1=..."),
    "nothing_open": ("No drill is open.", "진행 중인 드릴이 없습니다."),
    "is_open": (
        "{0} is open for {1}: {2} hints, {3} checks.",
        "{0} 드릴을 {1}째 진행하고 있습니다. 힌트 {2}개, 확인 {3}번.",
    ),
    "was_interrupted": (
        "labctl was interrupted while {0} it: run the same command again, or labctl drill reset",
        "labctl이 드릴을 {0} 중에 중단되었습니다. 같은 명령을 다시 실행하거나 labctl drill reset을 실행하십시오",
    ),
    "starting": ("starting", "시작하는"),
    "solving": ("solving", "푸는"),
    "resetting": ("resetting", "되돌리는"),
    "summary": ("{0} of {1} drills solved", "드릴 {1}개 중 {0}개 해결"),
    "untested": (
        "{0} more are not tested on a real lab yet: labctl drill list --untested",
        "실제 실습 환경에서 아직 테스트하지 않은 드릴이 {0}개 더 있습니다: labctl drill list --untested",
    ),
    "unreadable": ("cannot be read: labctl drill lint", "읽을 수 없습니다: labctl drill lint"),
}


@dataclass(frozen=True)
class Wording:
    """A language, and the lab's names for the placeholders of texts; without a lab the placeholders stay."""

    language: str
    names: Mapping[str, str] = field(default_factory=dict)

    def say(self, key: str, *values: object) -> str:
        """The message of this key, its numbered gaps filled."""
        return MESSAGES[key][LANGUAGES.index(self.language)].format(*values)

    def text(self, text: Text) -> str:
        """One of a drill's texts."""
        return str(fill(text.in_language(self.language), self.names))

    def duration(self, seconds: float) -> str:
        """A time: seconds below two minutes, minutes from there on."""
        return duration(seconds, self.language)


def choose_language(given: str | None) -> str:
    """The language that is given, else that of the locale, else English."""
    if given:
        return given
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "ko" if value.lower().startswith("ko") else "en"
    return "en"


def duration(seconds: float, language: str) -> str:
    """A time in a language: seconds below two minutes, minutes from there on."""
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s" if language == "en" else f"{whole}초"
    return f"{whole // 60} min {whole % 60} s" if language == "en" else f"{whole // 60}분 {whole % 60}초"
