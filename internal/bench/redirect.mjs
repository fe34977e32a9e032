// Turns the hosts that copilot-api asks for to the simulated Copilot, and keeps it from all others.
const hosts = [
  ["https://api.githubcopilot.com", process.env.BENCH_COPILOT],
  ["https://api.github.com", process.env.BENCH_API],
];
const fetch = globalThis.fetch;
globalThis.fetch = (url, options) => {
  for (const [host, to] of hosts) {
    if (url.startsWith(host + "/")) return fetch(to + url.slice(host.length), options);
  }
  return Promise.reject(new Error("not reachable in this benchmark: " + url));
};
