package compaction

// Prompt asks a model for the summary of the conversation before it.
const Prompt = `Stop the task here. This conversation no longer fits into the context window and is about to be replaced by a summary, which you write now. Whoever continues has nothing but your summary, and perhaps the latest messages of the user, and must be able to go on as if nothing had happened.

Answer with the summary alone, as plain text: no greeting, no closing remark, no tool call. Be complete about what is needed to go on and brief about everything else. Quote names, paths, commands, versions, numbers and error messages exactly. Invent nothing; say so where you are not sure. Name secrets, never repeat their values. Write in the language of the user. Use these headings, and leave out those that have nothing to say:

## Goal
What the user wants in the end, and each requirement, preference and prohibition that still holds, in the user's own words where the wording matters. If the user changed their mind, only the latest word counts.

## State
What is done and known to work, and how that was checked. What is done but not checked. What was tried and did not work, and why, so that nobody tries it again.

## Decisions
What was decided and why, and which alternatives were rejected.

## Files and environment
Each file that was created or changed, or that the work depends on: its path, what it is for, what was changed. Give verbatim the signatures, settings or lines that the next steps build on. The working directory, the branch, the commands that build, test and run, and what is running.

## Open questions
Errors and failing tests that are not resolved, with their messages. Questions to the user that wait for an answer. What the user was promised.

## Next steps
What was under way when this message came, and the very next action. Then the rest of the plan in order, each step with its status.

If the conversation holds an earlier summary in <summary> tags, that stands for turns which you cannot see: carry over all of it that still holds, and correct what has changed since.`

// note tells the model that it does not see everything.
const note = "\n\nParts of the earliest turns were left out to make room. What is missing is marked; say in the summary what is unknown because of it, where it matters."

// cut is what stands behind a summary that reached its limit.
const cut = "\n\n[The summary was cut off here: it reached the limit on its length.]"
