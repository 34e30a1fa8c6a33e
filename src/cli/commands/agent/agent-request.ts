import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { agentRun } from '../../../blueprints/agent.ts'
import { AgentRequest, type AgentRequestInput } from '../../../contract/agent-api.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { findingsOf } from '../../../engine/workflow-file/issue-messages.ts'
import { boxAsk, boxOptions } from '../../box-options.ts'
import { UsageError } from '../../command.ts'
import { variableValues } from '../../option-values.ts'

/** Options of `errand agent` that describe the request and the agent. */
export const agentOptions = {
  agent: {
    type: 'string',
    short: 'a',
    value: 'NAME',
    help: 'Agent to use (default: claude_code); see errand agents list',
  },
  cwd: {
    type: 'string',
    value: 'DIR',
    help: 'Working folder (default: the current one; with --hub: a folder of the run)',
  },
  model: { type: 'string', short: 'm', value: 'MODEL', help: "Model (default: the agent's own)" },
  permissions: {
    type: 'string',
    value: 'MODE',
    help: 'What happens when the agent wants to use a tool: ask, allow (default) or deny',
  },
  'fail-on-denied': {
    type: 'boolean',
    help: 'Fail if a tool was denied (default: only if nobody could be asked, or nothing was permitted)',
  },
  'allow-denied': { type: 'boolean', help: 'Do not fail because a tool was denied' },
  verify: {
    type: 'string',
    multiple: true,
    value: 'COMMAND',
    help: 'Command that must pass before the run succeeds',
  },
  'verify-attempts': {
    type: 'string',
    value: 'N',
    help: 'How often the agent may try to make them pass (default: 3)',
  },
  'budget-seconds': { type: 'string', value: 'N', help: 'Stop after this many seconds' },
  'budget-inactivity-seconds': {
    type: 'string',
    value: 'N',
    help: 'Stop after this many seconds of silence (default: 300)',
  },
  'budget-turns': { type: 'string', value: 'N', help: 'Stop after this many turns of the model' },
  'budget-tokens': { type: 'string', value: 'N', help: 'Stop after this many tokens' },
  'budget-cost-usd': { type: 'string', value: 'USD', help: 'Stop at this cost, if the agent reports it' },
  'output-schema': {
    type: 'string',
    value: 'FILE',
    help: 'JSON Schema of a value that the answer must contain',
  },
  'extra-arg': { type: 'string', multiple: true, value: 'ARG', help: "Argument for the agent's own program" },
  command: {
    type: 'string',
    multiple: true,
    value: 'WORD',
    help: 'With --agent acp: the program, then its arguments',
  },
  'proxy-env': {
    type: 'string',
    multiple: true,
    value: 'K=SERVICE',
    help: 'With --agent acp in a box: variable K holds the key of this service, anthropic or openai',
  },
  repo: {
    type: 'string',
    value: 'URL',
    help: 'With --hub: work in a checkout of this repository, with the token GIT_TOKEN of the hub',
  },
  ref: {
    type: 'string',
    value: 'REF',
    help: 'With --repo: branch, tag or commit (default: the default branch)',
  },
  branch: {
    type: 'string',
    value: 'NAME',
    help: 'With --repo: branch to create there, or to continue if it exists',
  },
  env: { type: 'string', short: 'e', multiple: true, value: 'K=V', help: 'Variable for the agent' },
  ...boxOptions,
  interactive: { type: 'boolean', short: 'i', help: 'Stay in the session and ask for more prompts here' },
} as const

type AgentValues = { [K in keyof typeof agentOptions]?: string | string[] | boolean } & {
  agent?: string
  cwd?: string
  model?: string
  permissions?: string
  verify?: string[]
  command?: string[]
  env?: string[]
  interactive?: boolean
}

/** Builds the request from the options. Throws `UsageError` for a value that is not valid. */
export function agentRequest(
  prompt: string,
  values: AgentValues,
  cwd: string | undefined,
  secrets: string[] | undefined,
): AgentRequestInput {
  const text = (name: keyof AgentValues) => values[name] as string | undefined
  const number = (name: keyof AgentValues): number | undefined => {
    const value = text(name)
    if (value === undefined) return undefined
    const found = Number(value)
    if (value.trim() === '' || !Number.isFinite(found))
      throw new UsageError(`--${name} is "${value}"`, 'use a number')
    return found
  }
  if (values['fail-on-denied'] && values['allow-denied'])
    throw new UsageError('--fail-on-denied and --allow-denied cannot be combined', 'leave one out')
  const request = withoutUnset({
    prompt,
    agent: values.agent?.replaceAll('-', '_'),
    cwd,
    model: values.model,
    permissions: values.permissions,
    fail_on_denied: values['fail-on-denied'] ? true : values['allow-denied'] ? false : undefined,
    verify: values.verify,
    verify_attempts: number('verify-attempts'),
    budget: withoutUnset({
      seconds: number('budget-seconds'),
      inactivity_seconds: number('budget-inactivity-seconds'),
      turns: number('budget-turns'),
      tokens: number('budget-tokens'),
      cost_usd: number('budget-cost-usd'),
    }),
    output_schema: schemaIn(text('output-schema')),
    extra_args: values['extra-arg'],
    command: values.command,
    proxy_env: values['proxy-env'] && variableValues('--proxy-env', values['proxy-env'] as string[]),
    env: values.env && variableValues('--env', values.env),
    secrets,
    workspace: checkoutIn(text('repo'), { ref: text('ref'), branch: text('branch') }),
    ...boxAsk({ isolation: text('isolation'), network: text('network'), image: text('image') }),
    interactive: values.interactive,
  }) as AgentRequestInput
  check(request)
  return request
}

function checkoutIn(
  repo: string | undefined,
  more: { ref: string | undefined; branch: string | undefined },
): AgentRequestInput['workspace'] {
  const [name] = Object.entries(more).find(([, value]) => value !== undefined) ?? []
  if (repo !== undefined) return withoutUnset({ repo, ...more }) as AgentRequestInput['workspace']
  if (name !== undefined) throw new UsageError(`--${name} needs --repo`, 'it applies to a repository')
  return undefined
}

/** Checks the request as the hub would, but names options of the command line. Throws `UsageError`. */
function check(request: AgentRequestInput): void {
  const { success, error } = AgentRequest.safeParse(request)
  if (success) {
    agentRun(request)
    return
  }
  const { path, says } = findingsOf(error.issues, AgentRequest, request)[0]!
  const option = `--${path.join('-').replaceAll('_', '-')}`
  if (path[0] === 'permissions')
    throw new UsageError(`${option} is "${String(request.permissions)}"`, 'use ask, allow or deny')
  throw new UsageError(`${option} ${says}`)
}

/** Returns `--cwd` as an absolute path. With a hub it is a path on the runner's machine. */
export const folderOf = (cwd: string | undefined): string | undefined =>
  cwd === undefined ? undefined : resolve(cwd)

function schemaIn(file: string | undefined): Record<string, unknown> | undefined {
  if (file === undefined) return undefined
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>
  } catch (cause) {
    throw new ErrandError(
      'bad_request',
      `${file} is not a readable JSON Schema: ${(cause as Error).message}`,
      { cause },
    )
  }
}

const withoutUnset = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
