package providers

import "context"

// Keyed is implemented by providers whose accounts are a key that the owner was given and pastes in.
type Keyed interface {
	Provider
	// KeyVariables are the environment variables that hold such a key by custom, the commonest first.
	KeyVariables() []string
	// KeyOptional says that an account may do without a key.
	KeyOptional() bool
	// Verify asks the upstream, at the least cost, whether it takes the account's key. Errors are *Error.
	Verify(ctx context.Context, a *Account) error
}
