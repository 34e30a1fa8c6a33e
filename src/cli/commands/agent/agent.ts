import { command, UsageError } from '../../command.ts'
import { hubOptions } from '../../option-values.ts'
import { secretNames, secretValues } from '../../secret-values.ts'
import { agentOptions, agentRequest, folderOf } from './agent-request.ts'

export const agent = command({
  summary: 'Ask a coding agent: on this machine, or on a hub and its runners with --hub.',
  args: '[prompt|-]',
  options: {
    ...agentOptions,
    continue: { type: 'string', value: 'RUN', help: 'Continue the session of this run' },
    secret: {
      type: 'string',
      multiple: true,
      value: 'NAME',
      help: "Secret for the agent: with --hub one of the hub's, else from the environment, or NAME=@FILE",
    },
    attach: {
      type: 'string',
      multiple: true,
      value: 'FILE',
      help: 'With --hub: file or image to attach to the prompt',
    },
    'run-id': { type: 'string', value: 'ID', help: 'Id for the run (default: a new one)' },
    json: { type: 'boolean', help: 'Print one JSON event per line, and {"type":"result"} at the end' },
    hub: { type: 'boolean', help: 'Run it on a hub' },
    repository: { type: 'string', value: 'NAME', help: 'With --hub: repository that the run is for' },
    detach: { type: 'boolean', short: 'd', help: 'With --hub: print the run id and do not wait' },
    ...hubOptions,
  },
  examples: [
    'errand agent "Fix the failing test" --verify "npm test"',
    'errand agent "Explain this repository" --agent codex --permissions deny',
    'errand agent --continue run_0123 "Now write it down in README.md"',
    'git diff | errand agent - --hub',
    'errand agent --hub --attach screen.png "What is wrong here?"',
  ],
  async run(options, args) {
    const { hub, detach, json = false, interactive = false } = options
    const earlier = options.continue
    if (detach && !hub)
      throw new UsageError('--detach needs --hub', 'a run on this machine ends with the command')
    if (detach && interactive) throw new UsageError('--detach and --interactive cannot be combined')
    if (interactive && (json || !process.stdin.isTTY || args[0] === '-'))
      throw new UsageError('--interactive needs a terminal to ask for prompts', 'leave it out')
    const fixed = Object.keys(agentOptions).find(
      (name) => name !== 'interactive' && options[name as keyof typeof options] !== undefined,
    )
    if (earlier !== undefined && fixed !== undefined)
      throw new UsageError(`--${fixed} cannot be changed with --continue`, 'the session keeps its settings')
    if (earlier !== undefined && hub && options.secret)
      throw new UsageError('--secret cannot be changed with --continue', 'the session keeps its settings')
    if (options.repository !== undefined && !hub) throw new UsageError('--repository needs --hub')
    if (options.repository !== undefined && earlier !== undefined)
      throw new UsageError('--repository cannot be changed with --continue', 'the session keeps its settings')
    if (options.repo !== undefined && !hub)
      throw new UsageError(
        '--repo needs --hub',
        'only runners make checkouts; here, clone the repository and add --cwd DIR',
      )
    if (options.attach !== undefined && !hub)
      throw new UsageError(
        '--attach needs --hub',
        'here the agent reads files itself: name them in the prompt',
      )
    const prompt = await readPrompt(args[0], interactive)
    const show = { json, interactive, fromStdin: args[0] === '-' || (args[0] === undefined && !interactive) }
    const ask = {
      show,
      earlier,
      prompt,
      attach: options.attach,
      runId: options['run-id'],
      secrets: hub ? {} : secretValues(options.secret),
      request: (cwd: string | undefined) =>
        agentRequest(prompt, options, folderOf(options.cwd ?? cwd), secretNames(options.secret, hub)),
    }
    if (hub) {
      const { agentOnHub } = await import('./agent-on-hub.ts')
      const { repository, url, token } = options
      return await agentOnHub({ ...ask, repository, detach: detach ?? false, url, token })
    }
    const { agentHere } = await import('./agent-local.ts')
    return await agentHere(ask)
  },
})

/** Returns the prompt: as given, from standard input (for `-`, or if there is no terminal), or asked for. */
async function readPrompt(prompt: string | undefined, interactive: boolean): Promise<string> {
  if (prompt !== undefined && prompt !== '-') {
    if (prompt.trim() === '') throw new UsageError('the prompt is empty', 'write what the agent should do')
    return prompt
  }
  if (prompt === undefined && process.stdin.isTTY) {
    if (!interactive)
      throw new UsageError('no prompt given', 'write what the agent should do: errand agent "..."')
    const { askLine } = await import('../../follow/agent-questions.ts')
    const line = await askLine('> ')
    if (line === undefined || line.trim() === '') throw new UsageError('no prompt given')
    return line
  }
  let text = ''
  for await (const chunk of process.stdin.setEncoding('utf8')) text += chunk
  if (text.trim() === '') throw new UsageError('standard input holds no prompt')
  return text
}
