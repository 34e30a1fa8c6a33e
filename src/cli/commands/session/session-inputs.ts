import { randomUUID } from 'node:crypto'
import type { RunInput } from '../../../contract/agent-api.ts'
import { command } from '../../command.ts'
import { connect } from '../../connection.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson } from '../../print.ts'
import { storedAttachments } from '../agent/stored-attachments.ts'

const goOnOptions = {
  attach: {
    type: 'string',
    multiple: true,
    value: 'FILE',
    help: 'File or image to attach to the prompt',
  },
  interactive: { type: 'boolean', short: 'i', help: 'Keep the session open for more prompts' },
  ...hubOptions,
  ...jsonOption,
} as const

interface GoOn {
  attach?: string[]
  interactive?: boolean
  json?: boolean
  url?: string
  token?: string
}

/** Gives a prompt to a session, or to a branch of it. The input id makes sending it again harmless. */
async function goOn(runId: string, prompt: string, { attach, interactive, json, ...hub }: GoOn, fork?: true) {
  const client = connect(hub)
  const attachments = await storedAttachments(client, attach)
  const input = { prompt, attachments, interactive, fork, input_id: randomUUID() }
  const accepted = await client.runs.input(runId, input)
  if (json) printJson(accepted)
  else process.stdout.write(`${accepted.run_id}\n`)
  return 0
}

const continues = command({
  summary:
    'Continue the session of a run, in a new run if that has ended. Prints the run that has the prompt.',
  args: '<run-id> <prompt>',
  options: goOnOptions,
  examples: ['errand sessions continue run_0123 "Now write it down in README.md"'],
  run: (options, [runId, prompt]) => goOn(runId!, prompt!, options),
})

const fork = command({
  summary: 'Start a branch of the session of an ended run, which stays as it is. Prints the new run.',
  args: '<run-id> <prompt>',
  options: goOnOptions,
  examples: ['errand sessions fork run_0123 "Do it without a new dependency instead"'],
  run: (options, [runId, prompt]) => goOn(runId!, prompt!, options, true),
})

interface Change {
  json?: boolean
  url?: string
  token?: string
}

async function give(runId: string, input: RunInput, { json, ...hub }: Change, text: string): Promise<number> {
  const accepted = await connect(hub).runs.input(runId, { ...input, input_id: randomUUID() })
  if (json) printJson(accepted)
  else process.stdout.write(`${text}\n`)
  return 0
}

const changeOptions = { ...hubOptions, ...jsonOption }

const edit = command({
  summary: 'Change the text of a prompt that the agent has not taken yet.',
  args: '<run-id> <prompt-id> <text>',
  options: changeOptions,
  examples: ['errand sessions edit run_0123 prompt-1 "Only the tests"'],
  run: (options, [runId, prompt_id, text]) =>
    give(
      runId!,
      { queue: { prompt_id: prompt_id!, change: 'edit', text } },
      options,
      `${prompt_id} is edited.`,
    ),
})

const up = command({
  summary: 'Move a prompt that the agent has not taken yet one place up in the queue.',
  args: '<run-id> <prompt-id>',
  options: changeOptions,
  examples: ['errand sessions up run_0123 prompt-2'],
  run: (options, [runId, prompt_id]) =>
    give(runId!, { queue: { prompt_id: prompt_id!, change: 'up' } }, options, `${prompt_id} is moved up.`),
})

const withdraw = command({
  summary: 'Withdraw a prompt that the agent has not taken yet.',
  args: '<run-id> <prompt-id>',
  options: changeOptions,
  examples: ['errand sessions withdraw run_0123 prompt-1'],
  run: (options, [runId, prompt_id]) =>
    give(
      runId!,
      { queue: { prompt_id: prompt_id!, change: 'withdraw' } },
      options,
      `${prompt_id} is withdrawn.`,
    ),
})

const model = command({
  summary: 'Switch the model of a session, if its agent can. Its events show the result.',
  args: '<run-id> <model>',
  options: changeOptions,
  examples: ['errand sessions model run_0123 sonnet'],
  run: (options, [runId, name]) => give(runId!, { model: name }, options, `Switching to ${name}.`),
})

/** The commands that send input to a session. */
export const sessionInputs = { continue: continues, fork, edit, up, withdraw, model }
