import { randomUUID } from 'node:crypto'
import type { ErrandClient } from '../client/client.ts'
import type { GivenInput } from '../contract/agent.ts'
import type { AgentRequestInput } from '../contract/agent-request.ts'
import type { RunInput } from '../contract/api.ts'
import { type AgentShow, followAgent } from './agent-follow.ts'
import { connect } from './connection.ts'

export interface AgentAsk {
  show: AgentShow
  /** Run to go on with. */
  earlier: string | undefined
  prompt: string
  runId: string | undefined
  /** What is asked for; `cwd` is where none is given. */
  request(cwd: string | undefined): AgentRequestInput
}

export async function agentOnHub(
  ask: AgentAsk & { detach: boolean; url?: string; token?: string },
): Promise<number> {
  const { show, detach } = ask
  const client = connect(ask)
  const { runId, after } = await begin(client, ask)
  if (detach) {
    process.stdout.write(show.json ? `${JSON.stringify({ run_id: runId })}\n` : `${runId}\n`)
    return 0
  }
  if (!show.json) process.stdout.write(`run ${runId} on ${client.url}\n`)
  return await followAgent(
    {
      runId,
      joined: after > 0,
      events: client.events(runId, { after }),
      give: (input) => client.runs.input(runId, asBody(input)),
      cancel: async (force) => void (await client.runs.cancel(runId, { force })),
      view: () => client.runs.get(runId),
      answerHint: (requestId) => `errand agents answer ${runId} ${requestId} allow`,
      continueHint: `${runId}: go on with errand agent --hub --continue ${runId} "..."`,
    },
    show,
  )
}

/** The run, and the event after which this prompt is what it is about. */
async function begin(client: ErrandClient, ask: AgentAsk): Promise<{ runId: string; after: number }> {
  const idempotencyKey = randomUUID()
  if (ask.earlier === undefined) {
    const request = ask.request(undefined)
    const made = await client.runs.create({ agent: request, run_id: ask.runId }, { idempotencyKey })
    return { runId: made.run_id, after: 0 }
  }
  const { last_seq } = await client.runs.get(ask.earlier)
  const input = { prompt: ask.prompt, input_id: idempotencyKey, interactive: ask.show.interactive }
  const { run_id } = await client.runs.input(ask.earlier, input)
  return { runId: run_id, after: run_id === ask.earlier ? last_seq : 0 }
}

function asBody(input: GivenInput): RunInput {
  const input_id = input.input_id
  switch (input.type) {
    case 'prompt':
      return { input_id, prompt: input.text }
    case 'permission':
      return { input_id, permission: { request_id: input.request_id, decision: input.decision } }
    case 'cancel_turn':
      return { input_id, cancel_turn: true }
    case 'close':
      return { input_id, close: true }
  }
}
