import { agentAccess, type NamedHost, type TokenSources } from '../../../compat/host-agent/agent-client.ts'
import { builtinActions } from '../../../contract/actions.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { type BoxAsk, strictestAsk } from '../../../contract/isolation.ts'
import { nameFault } from '../../../contract/names.ts'
import { DEFAULT_HOST, type InventoryHost, type Step, type Workflow } from '../../../contract/workflow.ts'
import { resolveInputs } from '../../../engine/workflow-file/inputs.ts'
import { fillText, type Lookup } from '../../../engine/workflow-file/template.ts'
import { evaluateWhen, parseWhen } from '../../../engine/workflow-file/when.ts'
import { UsageError } from '../../command.ts'
import type { FitToHosts } from '../../local/conduct-local.ts'
import { jsonText } from '../../print.ts'
import { lineText } from '../../render/terminal-text.ts'

const DEFAULT_PORT = 7072

export const hostOption = {
  host: {
    type: 'string',
    multiple: true,
    value: '[NAME=]ADDR',
    help: 'Address of an agent server; steps without targets run on all of these',
  },
} as const

export const tokenOption = {
  token: { type: 'string', value: 'TOKEN', help: 'Token of the agent servers (default: ERRAND_TOKEN)' },
} as const

type Hosts = ReadonlyMap<string, InventoryHost | null>

/** Fits a workflow to the agent servers that it and `--host` name, and prints where its run is. Throws a UsageError. */
export function fitTo(
  values: readonly string[] | undefined,
  token: string | undefined,
  json: boolean,
): FitToHosts {
  const hosts = hostOptions(values)
  let used: NamedHost[] = []
  return {
    names: [...hosts.keys()],
    fit(workflow, vars) {
      const fitted = withHosts(workflow, hosts)
      checkBoxes(fitted)
      const needed = [...hostsOf(fitted, resolveInputs(fitted, vars)).values()]
      checkHosts(needed, { token, env: process.env })
      used = needed
      return fitted
    },
    begins(run_id) {
      const addresses = Object.fromEntries(used.map(({ host, address }) => [host, address]))
      const where = listText(
        used.map(({ host, address }) => (address!.endsWith(host) ? host : `${host} (${address})`)),
      )
      const text = json
        ? jsonText({ type: 'dispatch', run_id, hosts: addresses })
        : `run ${run_id}${where === '' ? '' : ` on ${lineText(where)}`}`
      process.stdout.write(`${text}\n`)
    },
  }
}

/** Returns the hosts of `--host` by name; a host without a name is named by its address. Throws a UsageError. */
export function hostOptions(values: readonly string[] = []): ReadonlyMap<string, { address: string }> {
  const hosts = new Map<string, { address: string }>()
  for (const text of values) {
    const [, name, written] = /^(?:([^=:/]*)=)?(.*)$/s.exec(text)!
    const url = urlOf(written!.trim())
    const fault = name === undefined ? undefined : nameFault(name, 200)
    if (url === undefined || fault !== undefined)
      throw new UsageError(
        `--host is "${text}"${fault === undefined ? '' : `, and its name is not valid: ${fault}`}`,
        'write it as --host 10.0.0.5:7072, or as --host web1=10.0.0.5:7072',
      )
    const known = name ?? url.host
    if (hosts.has(known)) throw new UsageError(`--host gives "${known}" twice`, 'give each host its own name')
    hosts.set(known, { address: url.href.replace(/\/$/, '') })
  }
  return hosts
}

/** Reads an address as a URL; ":7072" means this machine. Returns undefined if it is not a valid one. */
function urlOf(written: string): URL | undefined {
  const hasScheme = /^[a-z]+:\/\//i.test(written)
  const text = hasScheme ? written : `http://${written.startsWith(':') ? '127.0.0.1' : ''}${written}`
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol) || url.username || url.search || url.hash)
    return undefined
  // A URL omits the default port of its scheme, so `written` is checked.
  if (!hasScheme && !/:\d+(\/|$)/.test(written)) url.port = String(DEFAULT_PORT)
  return url
}

/**
 * Returns the workflow with these hosts in its inventory and those of its sub-workflows. If `local` has no address,
 * a step without targets runs on all of them.
 */
export function withHosts(workflow: Workflow, addresses: ReadonlyMap<string, { address: string }>): Workflow {
  if (addresses.size === 0) return workflow
  const hosts = { ...workflow.inventory?.hosts }
  for (const [name, { address }] of addresses) hosts[name] = { ...hosts[name], address }
  const targets = hosts[DEFAULT_HOST]?.address === undefined ? [...addresses.keys()] : undefined
  const placed = (step: Step): Step => {
    if (step.action === 'workflow.run')
      return {
        ...step,
        args: { ...step.args, workflow: withHosts(step.args.workflow as Workflow, addresses) },
      }
    return isHosted(step) && step.targets === undefined && targets ? { ...step, targets } : step
  }
  return {
    ...workflow,
    inventory: { hosts },
    steps: workflow.steps.map(placed),
    finally: workflow.finally?.map(placed),
  }
}

const isHosted = ({ action }: Step): boolean => builtinActions[action]?.place === 'host'

/** Returns every host that steps could run on, with those steps. Leaves out steps whose `when` is known to be false. */
export function hostsOf(
  workflow: Workflow,
  variables: Readonly<Record<string, string>>,
): ReadonlyMap<string, NamedHost & { steps: string[] }> {
  const found = new Map<string, NamedHost & { steps: string[] }>()
  collect(workflow, known(workflow, variables), [], found)
  return found
}

function collect(
  workflow: Workflow,
  values: ReadonlyMap<string, string>,
  path: readonly string[],
  found: Map<string, NamedHost & { steps: string[] }>,
): void {
  const hosts: Hosts = new Map(Object.entries(workflow.inventory?.hosts ?? {}))
  for (const step of [...workflow.steps, ...(workflow.finally ?? [])]) {
    const lookup = lookupOf(step, values)
    if (step.when !== undefined && tried(() => evaluateWhen(parseWhen(step.when!), lookup)) === false)
      continue
    const named = [...path, step.name]
    if (step.action === 'workflow.run') {
      const { workflow: inner, inputs } = step.args as { workflow: Workflow; inputs: Record<string, unknown> }
      collect(inner, known(inner, inputs, lookup), named, found)
    }
    if (!isHosted(step)) continue
    const targets = (step.targets ?? [DEFAULT_HOST]).flatMap(
      // A target that depends on what a step will export may be any host.
      (target) => tried(() => fillText(target, lookup)) ?? [...hosts.keys()],
    )
    for (const host of new Set(targets)) {
      const { address, token_env } = hosts.get(host) ?? {}
      const key = JSON.stringify([host, address, token_env])
      const entry = found.get(key) ?? { host, address, token_env, steps: [] }
      entry.steps.push(named.join(' > '))
      found.set(key, entry)
    }
  }
}

/** Returns the variables that the workflow starts with, as far as their values are known by now. */
function known(
  { inputs = {}, env = {} }: Workflow,
  provided: Readonly<Record<string, unknown>>,
  lookup?: Lookup,
): ReadonlyMap<string, string> {
  const values = new Map<string, string>()
  for (const [name, input] of Object.entries(inputs))
    if (input.default !== undefined) values.set(name, String(input.default))
  for (const [name, value] of Object.entries(provided)) {
    const text = lookup === undefined ? String(value) : tried(() => fillText(String(value), lookup))
    if (text === undefined) values.delete(name)
    else values.set(name, text)
  }
  for (const name of Object.keys(env)) values.delete(name)
  return values
}

/** Looks up the variables that a step sees; throws for a value that is not known by now. */
function lookupOf({ env = {}, matrix = {} }: Step, values: ReadonlyMap<string, string>): Lookup {
  const own = new Set(['ITEM', ...Object.keys(env), ...Object.keys(matrix)])
  return {
    get(name) {
      const value = own.has(name) ? undefined : values.get(name)
      if (value === undefined) throw new Error(`${name} is not known yet`)
      return value
    },
    names: () => values.keys(),
  }
}

function tried<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch {
    return undefined
  }
}

/** Throws `invalid_argument` that names all steps that ask for a box: agent servers make none. */
export function checkBoxes(workflow: Workflow): void {
  const boxed = boxedSteps(workflow, {}, [])
  if (boxed.length === 0) return
  const ask = `ask${boxed.length === 1 ? 's' : ''} for a box, but agent servers make none`
  throw new ErrandError('invalid_argument', `The ${stepsText(boxed)} ${ask}.`, {
    hint: 'Run the file with errand run, here or with --hub; or leave out isolation and network.',
  })
}

function boxedSteps(workflow: Workflow, above: BoxAsk, path: readonly string[]): string[] {
  return [...workflow.steps, ...(workflow.finally ?? [])].flatMap((step) => {
    const box = strictestAsk(strictestAsk(above, workflow), step)
    const named = [...path, step.name]
    if (step.action === 'workflow.run') return boxedSteps(step.args.workflow as Workflow, box, named)
    return isHosted(step) && (box.isolation ?? 'none') !== 'none' ? [named.join(' > ')] : []
  })
}

/** Throws one error for all hosts: `invalid_argument` if an address is missing, `unauthorized` if only tokens are. */
export function checkHosts(hosts: Iterable<NamedHost & { steps: string[] }>, sources: TokenSources): void {
  const faults = [...hosts].flatMap((host) => {
    const access = agentAccess(host, sources)
    return access.missing === undefined ? [] : [{ ...access, host: host.host, steps: host.steps }]
  })
  if (faults.length === 0) return
  const lines = faults.map(({ message, steps }) => `${message} Needed by ${stepsText(steps)}.`)
  const code = faults.some(({ missing }) => missing === 'address') ? 'invalid_argument' : 'unauthorized'
  const hints = faults.flatMap(({ host, missing, hint }) =>
    missing === 'address' ? [hint, `Or give it with --host ${host}=10.0.0.5:${DEFAULT_PORT}.`] : [hint],
  )
  throw new ErrandError(code, lines.join('\n'), {
    hint: [...new Set(hints)].join('\n'),
    details: faults.map(({ host, missing, steps }) => ({ host, missing, steps })),
  })
}

const stepsText = (steps: readonly string[]): string =>
  `step${steps.length === 1 ? '' : 's'} ${listText(steps.map((step) => `"${step}"`))}`

const MOST_LISTED = 3
/** Lists the first of them, and how many more there are. */
function listText(all: readonly string[]): string {
  const listed = all.slice(0, MOST_LISTED).join(', ')
  return all.length <= MOST_LISTED ? listed : `${listed} and ${all.length - MOST_LISTED} more`
}
