package providers

import "detour/internal/dialect"

// Targeter is implemented by providers that know what their models can be told. Without it a translated request says
// only what every model understands.
type Targeter interface {
	Target(m Model) dialect.Target
}
