// Package copilot is the GitHub Copilot provider: sign-in, token exchange, identity headers, the few edits that the
// upstream's requests need, its errors and its model catalogue.
//
// GitHub publishes no reference for these endpoints. Whatever may change (versions, hosts, header values, client id)
// is a setting, unknown fields of answers are ignored, and unknown fields of requests pass through unchanged.
//
// # Planes
//
// The management plane (api.github.com, or api.<domain> of a data-residency enterprise) takes the GitHub token. It
// gives the short-lived Copilot token, the quota and who the owner is. The inference plane takes the Copilot token and
// is whatever host that token's endpoints.api names, provided that host is GitHub's own; see allowedBase.
//
// # Edits
//
// NewRequest changes a request body in these ways only, and a verbatim one in none. Everything else keeps its bytes.
//
//   - chat/completions: max_tokens is added when the request limits nothing, the catalogue knows the model's limit and
//     the model takes the field; image_url.detail other than low or high is removed.
//   - responses: store becomes false; include gains reasoning.encrypted_content when the request has reasoning;
//     service_tier, client_metadata and, in items, internal_chat_message_metadata_passthrough are removed;
//     image_generation tools are removed, and those of the hosted search for an hour after the model refused one, in
//     tools and in additional_tools; an empty description of a namespace tool is filled in. A tool_choice that forces
//     a removed tool is an error, and so is previous_response_id, because the upstream keeps no responses.
//   - messages and messages/count_tokens: cache_control.scope, tools[].eager_input_streaming, tools[].input_examples,
//     service_tier and speed are removed; context_management is removed unless its beta is asked for; a top-level
//     cache_control moves to the last block that can carry it; blank text blocks are removed from messages and
//     system prompts that have other blocks.
//   - embeddings: an input that is a string becomes an array of that string.
package copilot
