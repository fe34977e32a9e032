// Package openai holds the services that speak OpenAI's dialects and are reached with a key: OpenAI itself, DeepSeek,
// OpenRouter, Gemini by its OpenAI-compatible surface, and any other server by its address.
//
// # Edits
//
// Requests that are not verbatim are changed in these ways only. Everything else keeps its bytes.
//
//   - openai, chat/completions of models that reason: max_tokens becomes max_completion_tokens, because they refuse the
//     former.
//   - openai, responses: reasoning.encrypted_content leaves include when the model does not reason, because such a
//     model refuses it.
//   - gemini, chat/completions of Gemini 3 models: the first call of an assistant message that has no thought signature
//     gets the one that Google documents for histories without any; the model refuses such calls otherwise.
//
// DeepSeek, OpenRouter and servers by address get what the client said. Of all but the last, dialect.Target says that
// they tell the usage of a stream in chat/completions if they are asked; the router asks for it with stream_options
// where the client does not.
package openai
