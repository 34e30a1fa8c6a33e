import { readFileSync } from 'node:fs'
import type { Agent, ProtocolFailure, SessionRequest } from '../../src/agents/agent.ts'
import type { AgentUpdate } from '../../src/contract/agent.ts'

export interface Replayed {
  sent: string[]
  updates: AgentUpdate[]
  readyCount: number
  failure?: ProtocolFailure
}

/**
 * Replays a conversation that was recorded with the real program through an agent's protocol. The file has the
 * program's lines as they came. Between them, lines that begin with `# ` are calls: `begin`, `prompt <text>`, `answer
 * allow|deny` (of the last question), `cancel`, `exit <code> <stderr>`.
 */
export function replayRecorded(agent: Agent, request: SessionRequest, path: string): Replayed {
  const replayed: Replayed = { sent: [], updates: [], readyCount: 0 }
  const protocol = agent.protocol(request, {
    send: (line) => void replayed.sent.push(line),
    update: (update) => void replayed.updates.push(update),
    ready: () => void replayed.readyCount++,
    failed: (failure) => {
      replayed.failure = failure
    },
  })
  for (const line of readFileSync(path, 'utf8').trimEnd().split('\n')) {
    const [, call, , rest = ''] = /^# (\w+)( (.*))?$/.exec(line) ?? []
    if (call === undefined) protocol.line(line)
    else if (call === 'begin') protocol.begin()
    else if (call === 'prompt') protocol.prompt(rest)
    else if (call === 'cancel') protocol.cancelTurn()
    else if (call === 'exit') protocol.exited({ code: Number.parseInt(rest, 10), stderr: rest })
    else if (call === 'answer') {
      const permission = replayed.updates.findLast((each) => each.kind === 'permission')
      protocol.answer(permission?.request_id ?? '', rest === 'allow' ? 'allow' : 'deny')
    } else throw new Error(`unknown call in ${path}: ${line}`)
  }
  return replayed
}
