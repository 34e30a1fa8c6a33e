import type {
  Agent,
  AgentLaunch,
  AgentProtocol,
  Program,
  ProtocolPort,
  SessionRequest,
} from '../../src/agents/agent.ts'

/**
 * An agent of one's own: this file, and its name in the list of `src/agents/registry.ts`. The program that it drives
 * takes and gives a line of JSON at a time. Here it is a few lines of JavaScript that say every prompt back in
 * capitals, so that the example runs anywhere; yours is a real one.
 */
export const lineAgent: Agent = {
  name: 'line_agent',
  title: 'Example agent',
  keys: [],
  usage: 'unknown',
  locate: async () => ({
    type: 'found',
    program: { path: process.execPath, version: process.versions.node },
  }),
  launch,
  protocol: (request, port) => new LineProtocol(request, port),
}

const program = `
import { createInterface } from 'node:readline'
const say = (message) => console.log(JSON.stringify(message))
let timer
say({ hello: 1 })
createInterface({ input: process.stdin }).on('line', (line) => {
  const { prompt, cancel } = JSON.parse(line)
  if (cancel) return clearTimeout(timer), say({ done: 'canceled' })
  for (const word of prompt.split(' ')) say({ word: word.toUpperCase() + ' ' })
  const end = () => say({ done: 'end_turn', tokens: prompt.length })
  timer = setTimeout(end, prompt.startsWith('slowly') ? 600_000 : 0)
})`

function launch({ home, extra_args }: SessionRequest, _program: Program): AgentLaunch {
  const path = `${home}/agent.mjs`
  return { args: [path, ...extra_args], env: {}, files: [{ path, content: program }] }
}

/** Deterministic: the same lines and calls lead to the same updates, so that a restarted runner can repeat them. */
class LineProtocol implements AgentProtocol {
  readonly #request: SessionRequest
  readonly #port: ProtocolPort
  #tokens = 0
  #busy = false

  constructor(request: SessionRequest, port: ProtocolPort) {
    this.#request = request
    this.#port = port
  }

  begin(): void {
    // It speaks first.
  }

  line(text: string): void {
    const message = parsed(text)
    if (message?.hello !== undefined) {
      const { session_id, new_session_id } = this.#request
      const origin = session_id === undefined ? 'new' : 'loaded'
      this.#port.update({
        kind: 'session',
        agent: 'line_agent',
        session_id: session_id ?? new_session_id,
        origin,
      })
      this.#port.ready()
    }
    if (typeof message?.word === 'string') this.#port.update({ kind: 'message', text: message.word })
    if (message?.done === 'end_turn') this.#end({ stop_reason: 'end_turn' }, Number(message.tokens))
    if (message?.done === 'canceled') this.#end({ stop_reason: 'canceled' })
  }

  prompt(text: string): void {
    this.#busy = true
    this.#port.send(JSON.stringify({ prompt: text }))
  }

  answer(): void {
    // It asks nothing: its tools do nothing that a person would have to allow.
  }

  cancelTurn(): void {
    this.#port.send(JSON.stringify({ cancel: true }))
  }

  exited({ code, signal, stderr }: { code?: number; signal?: string; stderr: string }): void {
    if (this.#busy)
      this.#end({ stop_reason: 'error', message: `it ended (${signal ?? code}): ${stderr.trim()}` })
  }

  #end(how: { stop_reason: 'end_turn' | 'canceled' | 'error'; message?: string }, tokens?: number): void {
    this.#busy = false
    if (tokens !== undefined) {
      this.#tokens += tokens
      const usage = (output_tokens: number) => ({ input_tokens: 0, cached_input_tokens: 0, output_tokens })
      this.#port.update({ kind: 'usage', turn: usage(tokens), session: usage(this.#tokens) })
    }
    this.#port.update({ kind: 'turn_ended', ...how })
    if (how.stop_reason !== 'error') this.#port.ready()
  }
}

/** What is no JSON is left aside. */
function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
