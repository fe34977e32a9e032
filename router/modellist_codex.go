package router

import "cmp"

// codexModel is an entry of the catalogue that Codex asks for. It leaves out what only OpenAI can say of a model, above
// all the instructions: Codex then uses its own.
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

func (e *entry) codex() codexModel {
	m := e.model
	return codexModel{
		Slug: e.id(), DisplayName: cmp.Or(m.Name, m.ID), Description: "Served by detour from " + e.provider + ".",
		Efforts: []codexEffort{}, ShellType: "shell_command", Visibility: "list", SupportedInAPI: true, Priority: 100,
		ApplyPatch: "freeform", Truncation: codexTruncated{"tokens", 10000}, Parallel: true,
		ContextWindow: cmp.Or(m.ContextWindow, m.MaxPrompt), ExperimentalTools: []string{},
	}
}
