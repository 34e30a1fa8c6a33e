import { randomUUID } from 'node:crypto'
import type { SessionRequest } from '../../src/agents/agent.ts'
import {
  type BuiltinSession,
  openSession,
  type ToolAsk,
  type TurnEnd,
} from '../../src/agents/builtin/session.ts'
import type { AgentUpdate, AgentUpdateOf } from '../../src/contract/agent.ts'
import { patience } from './patience.ts'

/** A generous deadline, because a loaded machine may be slow. */
const DEADLINE_MS = 180_000

type Decide = (ask: ToolAsk) => 'allow' | 'deny' | Promise<'allow' | 'deny'>

/** Runs one session of the built-in agent within this process, without its program and its protocol. */
export class BuiltinBench {
  readonly updates: AgentUpdate[] = []
  readonly asked: ToolAsk[] = []
  readonly request: SessionRequest
  readonly session: BuiltinSession
  readonly abort = new AbortController()

  constructor(request: SessionRequest, decide: Decide = () => 'allow') {
    this.request = request
    const port = {
      update: (update: AgentUpdate) => void this.updates.push(update),
      permission: async (ask: ToolAsk) => {
        this.asked.push(ask)
        return await decide(ask)
      },
    }
    this.session = openSession(request, port, this.abort.signal)
  }

  prompt(text: string, signal: AbortSignal = new AbortController().signal): Promise<TurnEnd> {
    return this.session.prompt(text, signal)
  }

  of<K extends AgentUpdate['kind']>(kind: K): AgentUpdateOf<K>[] {
    return this.updates.filter((each): each is AgentUpdateOf<K> => each.kind === kind)
  }

  /** Returns each tool call with all its updates merged, in the order of the calls. */
  get tools(): AgentUpdateOf<'tool'>[] {
    const calls = new Map<string, AgentUpdateOf<'tool'>>()
    for (const update of this.of('tool'))
      calls.set(update.tool_id, { ...calls.get(update.tool_id), ...update })
    return [...calls.values()]
  }
}

export function sessionRequest(
  cwd: string,
  home: string,
  more: Partial<SessionRequest> = {},
): SessionRequest {
  return { cwd, home, extra_args: [], ask: 'allow', new_session_id: randomUUID(), env: {}, ...more }
}

export async function until(condition: () => boolean): Promise<void> {
  const startMs = performance.now()
  while (!condition()) {
    if (performance.now() - startMs > DEADLINE_MS * patience())
      throw new Error(`waited ${DEADLINE_MS} ms in vain`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
