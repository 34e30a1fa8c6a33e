import { randomUUID } from 'node:crypto'
import type { ErrandClient } from '../../../client/client.ts'
import type { NewInput } from '../../../contract/agent.ts'
import type { AgentRequestInput, RunInput } from '../../../contract/agent-api.ts'
import { connect, whileAway } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { type AgentShow, followAgent } from '../../follow/agent-follow.ts'
import { storedAttachments } from './stored-attachments.ts'

export interface AgentAsk {
  show: AgentShow
  /** Run to continue. */
  earlier: string | undefined
  prompt: string
  runId: string | undefined
  /** Files to attach to the prompt. */
  attach?: readonly string[]
  /** Secrets by name, for a run on this machine. */
  secrets: Record<string, string>
  /** Builds the request from the options; `cwd` is the working folder if they name none. */
  request(cwd: string | undefined): AgentRequestInput
}

type AgentOnHub = AgentAsk & { repository?: string }

export async function agentOnHub(
  ask: AgentOnHub & { detach: boolean; url?: string; token?: string },
): Promise<number> {
  const { show, detach } = ask
  const client = connect(ask)
  let run = await begin(client, ask)
  if (detach) {
    process.stdout.write(show.json ? `${JSON.stringify({ run_id: run.runId })}\n` : `${run.runId}\n`)
    return exitCodes.success
  }
  for (;;) {
    if (!show.json) process.stdout.write(`run ${run.runId} on ${client.url}\n`)
    const { exitCode, taken, goesOn } = await follow(client, run, show)
    if (goesOn === undefined) return taken || exitCode !== exitCodes.success ? exitCode : exitCodes.failed
    run = { ...goesOn, after: 0 }
  }
}

interface Begun {
  runId: string
  after: number
  joined?: { input_id: string }
  passedOn?: string
}

/** Starts or continues a run; returns it with the event after which it works on this prompt. Safe to repeat. */
async function begin(client: ErrandClient, ask: AgentOnHub): Promise<Begun> {
  const key = randomUUID()
  if (ask.earlier === undefined) {
    const request = { ...ask.request(undefined), attachments: await storedAttachments(client, ask.attach) }
    const run = { agent: request, run_id: ask.runId, repository: ask.repository }
    const made = await client.runs.create(run, { idempotencyKey: key })
    return { runId: made.run_id, after: 0 }
  }
  const { last_seq } = await client.runs.get(ask.earlier)
  const attachments = await storedAttachments(client, ask.attach)
  const input = { prompt: ask.prompt, attachments, input_id: key, interactive: ask.show.interactive }
  const { run_id, continues } = await client.runs.input(ask.earlier, input)
  if (continues !== undefined) return { runId: run_id, after: 0 }
  return { runId: run_id, after: last_seq, joined: { input_id: key } }
}

const follow = (client: ErrandClient, { runId, after, joined, passedOn }: Begun, show: AgentShow) =>
  followAgent(
    {
      runId,
      joined,
      passedOn,
      events: client.events(runId, { after }),
      give: (input) => {
        const body = asBody(input)
        return whileAway(() => client.runs.input(runId, body))
      },
      cancel: async (force) => void (await whileAway(() => client.runs.cancel(runId, { force }))),
      view: () => client.runs.get(runId),
      answerHint: (requestId) => `errand agents answer ${runId} ${requestId} allow`,
      continueHint: `${runId}: continue with errand agent --hub --continue ${runId} "..."`,
    },
    show,
  )

function asBody(input: NewInput): RunInput {
  // The id makes sending it again harmless.
  const { input_id = randomUUID() } = input
  switch (input.type) {
    case 'prompt':
      return { input_id, prompt: input.text }
    case 'permission':
      return { input_id, permission: { request_id: input.request_id, decision: input.decision } }
    case 'queue':
      return { input_id, queue: { prompt_id: input.prompt_id, change: input.change, text: input.text } }
    case 'model':
      return { input_id, model: input.model }
    case 'cancel_turn':
      return { input_id, cancel_turn: true }
    case 'close':
      return { input_id, close: true }
  }
}
