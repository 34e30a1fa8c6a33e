import { installFlag } from '../../../agents/install/native-binary.ts'
import { agentInstalls } from '../../../agents/registry.ts'
import type { AgentState } from '../../../contract/agent.ts'
import { type CommandGroup, command, type OptionSpec, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { localBoxes, localFolder } from '../../local/local-sessions.ts'
import { hubOptions } from '../../option-values.ts'
import { jsonOption, printJson, printTable } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'

const list = command({
  summary: 'List coding agents: on this machine, or on the runners of a hub with --hub.',
  options: {
    hub: { type: 'boolean', help: 'Agents of the connected runners' },
    ...hubOptions,
    ...jsonOption,
  },
  examples: ['errand agents list', 'errand agents list --hub --json'],
  async run({ hub, json, ...where }) {
    const agents: (AgentState & { runners?: { id: string; usable: boolean }[] })[] = hub
      ? Object.values((await connect(where).agents()).agents)
      : await agentsHere()
    if (json) printJson(agents)
    else {
      const rows = agents.map(({ name, installed, version, usable, why, install, isolation, runners }) => [
        name,
        version ?? (installed ? 'yes' : 'no'),
        usable ? 'yes' : 'no',
        isolation === 'none' ? 'no' : (isolation ?? ''),
        ...(hub
          ? [
              (runners ?? [])
                .filter((one) => one.usable)
                .map(({ id }) => id)
                .join(' '),
            ]
          : []),
        usable ? '' : [why, installed ? undefined : install].filter(Boolean).join('; '),
      ])
      printTable(
        ['AGENT', 'INSTALLED', 'USABLE', 'BOX', ...(hub ? ['RUNNERS'] : []), 'WHY NOT'],
        rows,
        'There are no agents.',
      )
      process.stdout.write(boxlessText(agents))
    }
    return 0
  },
})

/** Says why agents have no box, each reason once. */
function boxlessText(agents: readonly AgentState[]): string {
  const reasons = agents.flatMap(({ isolation_why: why }) => (why === undefined ? [] : [why]))
  return [...new Set(reasons)].map((why) => `\n${lineText(why)}\n`).join('')
}

/** A flag for each agent that can be installed. */
const flagOptions: Record<string, { type: 'boolean'; help: string } & OptionSpec> = Object.fromEntries(
  Object.keys(agentInstalls)
    .map(installFlag)
    .map((flag) => [flag, { type: 'boolean', help: `Install ${flag}` }]),
)

const install = command({
  summary: 'Install coding agents for this user, at the versions that Errand was tested with (default: all).',
  options: { ...flagOptions, ...jsonOption },
  examples: ['errand agents install', 'errand agents install --codex --opencode'],
  async run({ json, ...options }) {
    const [{ installAgents }, { agentsFolder }] = await Promise.all([
      import('../../../agents/install/install-agents.ts'),
      import('../../../agents/install/native-binary.ts'),
    ])
    const all = Object.keys(agentInstalls)
    const selected = all.filter((name) => (options as Record<string, unknown>)[installFlag(name)])
    const stop = new AbortController()
    const onSignal = (): void => stop.abort()
    process.on('SIGINT', onSignal).on('SIGTERM', onSignal)
    try {
      const installed = await installAgents({
        names: selected.length === 0 ? all : selected,
        installs: agentInstalls,
        folder: agentsFolder(process.env),
        log: (line) => process.stderr.write(`${line}\n`),
        signal: stop.signal,
      })
      if (json) printJson(installed)
      else
        for (const { name, version, path } of installed) process.stdout.write(`${name} ${version}  ${path}\n`)
    } catch (error) {
      if (!stop.signal.aborted) throw error
      process.stderr.write('Stopped; no partial installation is left.\n')
      return 3
    } finally {
      process.off('SIGINT', onSignal).off('SIGTERM', onSignal)
    }
    return 0
  },
})

const answer = command({
  summary: 'Answer the agent of a run on a hub that asks before it uses a tool.',
  args: '<run-id> <request-id> <allow|deny>',
  options: {
    attempt: { type: 'string', value: 'N', help: 'Attempt that asks, if several agents of the run ask' },
    'for-session': { type: 'boolean', help: 'With allow: do not ask for the same again in this session' },
    reason: { type: 'string', value: 'TEXT', help: 'With deny: reason to give the agent' },
    input: {
      type: 'string',
      value: 'JSON',
      help: 'With allow: arguments to use instead of the requested ones',
    },
    ...hubOptions,
  },
  examples: [
    'errand agents answer run_0123 question-1 allow',
    'errand agents answer run_0123 question-1 deny --reason "Use the staging server"',
  ],
  async run(
    { attempt, 'for-session': forSession, reason, input: edited, ...hub },
    [runId, request_id, decision],
  ) {
    if (attempt !== undefined && !/^[1-9]\d{0,8}$/.test(attempt))
      throw new UsageError(`--attempt is "${attempt}"`, 'use the number of an attempt, from 1')
    if (decision !== 'allow' && decision !== 'deny')
      throw new UsageError(`the answer is "${decision}"`, 'use allow or deny')
    if (decision === 'deny' && forSession)
      throw new UsageError('--for-session works only with allow', 'leave it out')
    if (decision === 'allow' && reason !== undefined)
      throw new UsageError('--reason works only with deny', 'leave it out')
    const input = edited === undefined ? undefined : editedInput(edited, decision, forSession)
    const scope = forSession ? ('session' as const) : undefined
    await connect(hub).runs.input(runId!, {
      permission: { request_id: request_id!, decision, scope, reason, input },
      attempt: attempt === undefined ? undefined : Number(attempt),
    })
    process.stdout.write(`${request_id} is ${decision === 'allow' ? 'allowed' : 'denied'}.\n`)
    return 0
  },
})

/** Throws `UsageError`. */
function editedInput(text: string, decision: string, forSession = false): Record<string, unknown> {
  if (decision === 'deny' || forSession)
    throw new UsageError('--input works only with allow, and without --for-session')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // Reported below, like a value that is not an object.
  }
  if (typeof value === 'object' && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>
  throw new UsageError('--input is not a JSON object', 'write it as \'{"command": "npm test"}\'')
}

export const agents: CommandGroup = {
  summary: 'List and install coding agents, and answer what they ask.',
  commands: { list, install, answer },
}

/** Returns the agents of this machine, as they are installed for this user. */
export async function agentsHere(): Promise<AgentState[]> {
  const [{ machineAgents }, { AgentServices }, { agentStates }, { agentsFolder }] = await Promise.all([
    import('../../../runner/sessions/machine-agents.ts'),
    import('../../../runner/sessions/agent-services.ts'),
    import('../../../runner/sessions/machine-agents.ts'),
    import('../../../agents/install/native-binary.ts'),
  ])
  const { env } = process
  const options = machineAgents({ folder: agentsFolder(env), stateDir: localFolder(), allowedDirs: 'any' })
  return await agentStates(new AgentServices(options, env), env, await localBoxes())
}
