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
//     image_generation tools are removed, and those of the hosted search once the model refused one, in tools and in
//     additional_tools; max_output_tokens is at least 16; an empty description of a namespace tool is filled in. A
//     tool_choice that forces a removed tool is an error, and so is previous_response_id, because the upstream keeps no
//     responses.
//   - messages and messages/count_tokens, towards the model that the catalogue describes:
//     members that are refused go (service_tier, speed, container, mcp_servers, inference_geo, fallbacks, diagnostics,
//     thread, compaction, metadata beside user_id, output_config.task_budget; of messages output_config and clear_at; of
//     tools eager_input_streaming and input_examples, and without their beta defer_loading and allowed_callers;
//     cache_control.scope, and breakpoints beyond the fourth; sampling parameters where thinking or the model rules them
//     out); output_format becomes output_config.format; a top-level cache_control moves to the last block that can carry
//     it; the attribution block of Claude Code, blank text, unsigned thinking, and messages of which nothing is left go;
//     tools that only Anthropic executes go, and tools that are declared in mid-conversation stand among the others;
//     thinking takes the form that the model knows, and gives way to a forced tool and to a turn that called tools
//     without it; efforts and limits are brought to what the model has; context_management keeps the edits that are
//     known; instructions in mid-conversation stay where the model takes them and become marked words of the user
//     elsewhere; a conversation that ends with the model gets a turn of the user where the model insists on one. Counted
//     requests lose what concerns the answer.
//   - embeddings: an input that is a string becomes an array of that string.
//
// Beside these, what refusals taught is heeded (Learn): which member, value, beta or form of thinking a model does not
// take. It is up to the caller to keep the lessons.
package copilot
