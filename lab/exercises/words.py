"""What `hardmail lab` itself says, in both languages."""

from __future__ import annotations

from typing import Final

from lab.exercises.texts import Text

TASK: Final = Text("Task", "Aufgabe")
SOURCE: Final = Text("Source", "Quelle")
FILES: Final = Text("Files", "Dateien")
USERS: Final = Text("Users", "Benutzer")
DOORS: Final = Text("Ports", "Ports")
BY_HAND: Final = Text("By hand", "Von Hand")
THEN: Final = Text(
    "Then: `hardmail lab reload` after each edit, `hardmail lab check`, and `hardmail lab hint` if you are stuck.",
    "Danach: `hardmail lab reload` nach jeder Änderung, `hardmail lab check`, und `hardmail lab hint`, wenn du nicht "
    "weiterkommst.",
)
SAW: Final = Text("saw", "gesehen")
EXPECTED: Final = Text("expected", "erwartet")
READ: Final = Text("read", "lies")
SCORE: Final = Text("{passed} of {steps} steps pass.", "{passed} von {steps} Schritten bestanden.")
DONE: Final = Text("The exercise is solved.", "Die Aufgabe ist gelöst.")
NOT_RELOADED: Final = Text(
    "Edited since they were last taken over: {files}. Did you forget `hardmail lab reload`?",
    "Seit der letzten Übernahme bearbeitet: {files}. Hast du `hardmail lab reload` vergessen?",
)
RELOADED: Final = Text("The files are taken over.", "Die Dateien sind übernommen.")
HINT: Final = Text("Hint {number} of {total}: {hint}", "Tipp {number} von {total}: {hint}")
NO_MORE_HINTS: Final = Text(
    "There are no more hints; `hardmail lab solve` applies the sample solution.",
    "Es gibt keine weiteren Tipps; `hardmail lab solve` wendet die Musterlösung an.",
)
RESET: Final = Text(
    "The starting state is back; your files are kept in {kept}.",
    "Der Anfangszustand ist wieder da; deine Dateien liegen in {kept}.",
)
SOLVED: Final = Text(
    "The sample solution is in place; your files are kept in {kept}. It reads:",
    "Die Musterlösung ist eingetragen; deine Dateien liegen in {kept}. Sie lautet:",
)
STOPPED: Final = Text("Stopped; the files stay in {dir}.", "Angehalten; die Dateien bleiben in {dir}.")
WARNING: Final = Text("warning", "Warnung")
NO_CHECK_YET: Final = Text(
    "There is nothing to report yet: run `hardmail lab check` first.",
    "Es gibt noch nichts zu berichten: Rufe zuerst `hardmail lab check` auf.",
)
WRITTEN: Final = Text("Written: {files}", "Geschrieben: {files}")

# Parts of the source documents
PARTS: Final = ((", slide ", ", Folie "), (", section ", ", Abschnitt "))

# The report
REPORT: Final = Text("Exercise {slug}: {title}", "Aufgabe {slug}: {title}")
STUDENT: Final = Text("Student", "Name")
STARTED: Final = Text("Started", "Begonnen")
CHECKED: Final = Text("Check {number}, {time}", "Prüfung {number}, {time}")
HINTS_SEEN: Final = Text("hints seen: {hints}", "gesehene Tipps: {hints}")
SOLUTION_SEEN: Final = Text("the sample solution was shown", "die Musterlösung wurde gezeigt")
STEP: Final = Text("step", "Schritt")
RESULT: Final = Text("result", "Ergebnis")
PASSED: Final = Text("passed", "bestanden")
FAILED: Final = Text("failed", "nicht bestanden")
WIRE: Final = Text("What crossed the wire", "Was über die Leitung ging")

# Verification
GENUINE: Final = Text(
    "{file}: genuine. {student}, exercise {slug}, {passed} of {steps} steps in the last check.",
    "{file}: echt. {student}, Aufgabe {slug}, {passed} von {steps} Schritten in der letzten Prüfung.",
)
ANYONE: Final = Text(
    "Without a class key anybody can sign for any name: give --key and have students start with their --seed.",
    "Ohne Klassenschlüssel kann jeder für jeden Namen unterschreiben: Nimm --key und gib den Teilnehmern ihren --seed.",
)
FORGED: Final = Text(
    "{file}: NOT genuine: it was changed, or made with another seed than that of {student}.",
    "{file}: NICHT echt: Sie wurde verändert oder mit einem anderen Seed als dem von {student} erstellt.",
)
