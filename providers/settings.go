package providers

// SettingInfo documents one of a provider's knobs in [accounts.settings].
type SettingInfo struct {
	Name    string
	Default string // as written in configuration; "" when the default depends on something else, which Doc then says
	Doc     string // one sentence
}

// Configurable is implemented by providers that have settings of their own. Open refuses any setting that is not
// listed.
type Configurable interface {
	Settings() []SettingInfo
}
