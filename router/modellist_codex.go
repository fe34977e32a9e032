package router

import (
	"cmp"

	"detour/internal/llm"
)

// codexModel is an entry of the catalogue that Codex asks for. Codex takes everything that it knows of a listed model
// from its entry, and sends no instructions at all for one whose entry has none.
type codexModel struct {
	Slug              string         `json:"slug"`
	DisplayName       string         `json:"display_name"`
	Description       string         `json:"description"`
	DefaultEffort     *string        `json:"default_reasoning_level"`
	Efforts           []codexEffort  `json:"supported_reasoning_levels"`
	ShellType         string         `json:"shell_type"`
	Visibility        string         `json:"visibility"`
	SupportedInAPI    bool           `json:"supported_in_api"`
	Priority          int            `json:"priority"`
	Upgrade           *string        `json:"upgrade"`
	Summaries         bool           `json:"supports_reasoning_summaries"`
	Verbosity         bool           `json:"support_verbosity"`
	DefaultVerbosity  *string        `json:"default_verbosity"`
	ApplyPatch        string         `json:"apply_patch_tool_type"`
	Truncation        codexTruncated `json:"truncation_policy"`
	Parallel          bool           `json:"supports_parallel_tool_calls"`
	ContextWindow     int            `json:"context_window,omitempty"`
	ExperimentalTools []string       `json:"experimental_supported_tools"`
	BaseInstructions  string         `json:"base_instructions"`
}

type codexEffort struct {
	Effort      string `json:"effort"`
	Description string `json:"description"`
}

type codexTruncated struct {
	Mode  string `json:"mode"`
	Limit int    `json:"limit"`
}

// codexInstructions are what Codex tells a model of the catalogue about its task.
const codexInstructions = `You are a coding agent that runs in Codex, on the machine of the person you work for. You share their workspace: you read and change its files and run commands there with the tools that you are given.

- Work until the request is done or you need a decision that only the person can make. Look before you assume: read the code, its tests and its documentation, and follow AGENTS.md files where they lie.
- Keep changes small and in the style of what surrounds them. Mend causes, not symptoms. Do not touch what was not asked for, and never undo changes that are not yours.
- Change files with apply_patch where you have it. Search with rg where it is installed. Use update_plan for work that has several steps, and keep it true.
- Run the tests or the program to see that your change works. Say so when you could not.
- Do nothing that destroys data or reaches beyond the workspace unless it was asked for.
- Answer briefly and plainly: what you did, where, and what is left. Name files with their lines, as in src/app.go:42.`

func (e *entry) codex() codexModel {
	m := e.model
	c := codexModel{
		Slug: e.id(), DisplayName: cmp.Or(m.Name, m.ID), Description: "Served by detour from " + e.provider + ".",
		Efforts: []codexEffort{}, ShellType: "shell_command", Visibility: "list", SupportedInAPI: true, Priority: 100,
		ApplyPatch: "freeform", Truncation: codexTruncated{"tokens", 10000}, Parallel: true,
		ContextWindow: cmp.Or(m.ContextWindow, m.MaxPrompt), ExperimentalTools: []string{}, BaseInstructions: codexInstructions,
	}
	for _, effort := range e.efforts {
		if effort == llm.EffortNone {
			continue
		}
		level := string(effort)
		c.Efforts, c.Summaries = append(c.Efforts, codexEffort{level, "Reasoning effort " + level}), true
		if c.DefaultEffort == nil || effort == llm.EffortMedium {
			c.DefaultEffort = &level
		}
	}
	return c
}
