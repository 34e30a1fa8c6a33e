import { existsSync, readFileSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import * as z from 'zod'
import { ErrandError } from '../contract/errors.ts'
import {
  type DriverSettings,
  DriverShape,
  driverSettings,
  type Pool,
  PoolShape,
  settingsOfKinds,
} from '../contract/fleet/provisioning.ts'
import { Isolation, Network } from '../contract/isolation.ts'
import { VAR_NAME_RULE } from '../contract/names.ts'
import { PlainName, plainName } from '../contract/plain-name.ts'
import { ForgeHost } from '../contract/tasks/forge.ts'
import type { Playbook } from '../contract/tasks/playbook.ts'
import { IssueDefaults } from '../contract/tasks/task-api.ts'
import { findingsOf, safeParse, unknownKey } from '../engine/workflow-file/issue-messages.ts'
import { parseYaml } from '../engine/workflow-file/parse.ts'
import { formatProblem, type Problem, Report, sortProblems } from '../engine/workflow-file/problems.ts'
import { checkPlaybooks } from '../playbooks/parse.ts'
import { type Env, setting } from './read-setting.ts'
import { isTaskConfig, readTaskConfig, TASK_GROUP } from './task-config.ts'

/** Turns issues with the label into tasks of the user `owner`. */
const Watch = z.strictObject({
  owner: z.string().min(1).max(200),
  label: z.string().min(1).max(100).optional(),
  every_seconds: z.number().min(1).max(86_400).optional(),
  /** Fields that an issue does not give, such as the agent. */
  task: IssueDefaults.optional(),
})
const Repository = z.strictObject({
  name: plainName(500),
  /** The only runner group for runs of this repository. */
  work_runner_group: PlainName.optional(),
  url: z
    .string()
    .regex(/^https?:\/\/[^/@\s]+\/\S+$/, 'must be an address such as https://git.example.com/shop/web')
    .optional(),
  watch: Watch.optional(),
})
/** The minimum box for everything in a runner group, and how its runners are provisioned. */
const Group = z.strictObject({
  isolation: z.optional(Isolation),
  network: z.optional(Network),
  ...PoolShape,
  ...DriverShape,
})
type Group = z.infer<typeof Group>
const secretName = z.string().regex(/^(?!__proto__$)[A-Za-z_][A-Za-z0-9_]{0,127}$/, VAR_NAME_RULE)
/**
 * A forge, and the source of the tokens for its repositories: `token` or `app`. Without either, they get the tokens
 * that all other forges use.
 */
const ConfiguredForge = ForgeHost.extend({
  /** Name of the hub's secret that holds a token. */
  token: secretName.optional(),
  /** Name of the tenant-wide secret with which the forge signs its webhooks; no step gets it. */
  webhook_secret: secretName.optional(),
  app: z
    .strictObject({
      id: z.union([z.string().min(1).max(200), z.number().int().positive()]).transform(String),
      /** Name of the tenant-wide secret that holds the private key; no step gets it. */
      private_key: secretName,
    })
    .optional(),
})
export type ConfiguredForge = z.infer<typeof ConfiguredForge>
const Config = z.strictObject({
  forges: z.array(ConfiguredForge).nullable().optional(),
  repos: z.array(Repository).nullable().optional(),
  groups: z.record(PlainName, Group).nullable().optional(),
  // Checked like the playbooks of a repository.
  playbook: z.unknown().optional(),
  playbooks: z.unknown().optional(),
})

/** A repository whose labeled issues become tasks. */
export interface WatchedRepository {
  url: string
  label: string
  every_seconds: number
  /** The name of the user who owns the tasks. */
  owner: string
  task: z.input<typeof IssueDefaults>
}

/** The contents of `errand.yaml`. */
export interface HubConfig {
  /** Groups by the name of the repository. */
  groups: ReadonlyMap<string, string>
  /** The minimum boxes, by the name of the runner group. */
  boxes: ReadonlyMap<string, Pick<Group, 'isolation' | 'network'>>
  /** Groups with provisioned runners. */
  pools: readonly Pool[]
  watched: readonly WatchedRepository[]
  /** Forges by host. */
  forges: ReadonlyMap<string, ConfiguredForge>
  /** Playbooks for tasks whose repository has no matching one, in their order. */
  playbooks: readonly Playbook[]
  /** Complaints about ignored content. */
  warnings: string[]
}

const NO_CONFIG: HubConfig = {
  ...{ groups: new Map(), boxes: new Map(), forges: new Map() },
  ...{ watched: [], playbooks: [], pools: [], warnings: [] },
}

/**
 * Parses `errand.yaml`. Throws `invalid_argument` with every mistake and its line. Unknown keys are only warnings,
 * except in a watch, a group or a forge, where a key that was meant to restrict something would otherwise leave it
 * open.
 */
export function parseConfig(text: string, file: string): HubConfig {
  const { value = null, locate, problems: faults } = parseYaml(text)
  if (isTaskConfig(value)) return configOfTasks(text, file)
  const problems: Problem[] = faults.map((fault) => ({ ...fault, file }))
  const report = new Report(value, { file, locate, problems })
  const parsed = safeParse(Config, value ?? {})
  if (!parsed.success)
    for (const finding of findingsOf(parsed.error.issues, Config, value)) {
      const [key, complaint] = [finding.path.at(-1), { at: finding.at, hint: finding.hint }]
      if (finding.path.length === 0) report.add([], `the file ${finding.says}`, complaint)
      else if (finding.says !== unknownKey || isStrict(finding.path)) report.found(finding)
      else report.add(finding.path, `unknown key "${key}" is ignored`, { ...complaint, severity: 'warning' })
    }
  const {
    repos,
    groups: boxed,
    forges: configured,
  } = report.failed ? {} : ((value ?? {}) as z.infer<typeof Config>)
  const boxes = new Map(
    Object.entries(boxed ?? {}).map(([name, { isolation, network }]) => [
      name,
      { ...(isolation && { isolation }), ...(network && { network }) },
    ]),
  )
  for (const [name, { isolation, network = 'all' }] of boxes)
    if (isolation === 'none' && network !== 'all')
      report.say(['groups', name, 'network'], 'needs a box', {
        at: 'key',
        hint: 'without a box, steps can reach everything; write isolation: sandbox, or omit isolation',
      })
  const pools = poolsOf(boxed ?? {}, report)
  const groups = new Map<string, string>()
  const watched: WatchedRepository[] = []
  for (const [index, { name, work_runner_group: group, url, watch }] of (repos ?? []).entries()) {
    if (watch !== undefined && url === undefined)
      report.say(['repos', index, 'watch'], 'needs the address of the repository', {
        at: 'key',
        hint: 'add: url: https://git.example.com/shop/web',
      })
    else if (watch !== undefined) {
      const { label = 'errand', every_seconds = 60, owner, task = {} } = watch
      watched.push({ url: url!, label, every_seconds, owner, task })
    }
    if (groups.has(name)) report.add(['repos', index, 'name'], `repository "${name}" appears twice`)
    if (group !== undefined) groups.set(name, group)
  }
  const forges = new Map<string, ConfiguredForge>()
  for (const [index, forge] of (configured ?? []).map((each) => ConfiguredForge.parse(each)).entries()) {
    if (forges.has(forge.host))
      report.add(['forges', index, 'host'], `the forge "${forge.host}" appears twice`)
    if (forge.token !== undefined && forge.app !== undefined)
      report.add(['forges', index, 'token'], 'the forge has both a token and an App', {
        at: 'key',
        hint: 'remove one of them',
      })
    if (forge.app !== undefined && forge.kind !== 'github')
      report.add(['forges', index, 'app'], 'only GitHub has Apps', {
        at: 'key',
        hint: 'name the secret that holds a token: token: NAME',
      })
    forges.set(forge.host, forge)
  }
  const { playbooks = [], problems: wrong } = checkPlaybooks(value ?? {}, { file, form: 'part', locate })
  problems.push(...wrong)
  if (report.failed) throw refusal(file, problems)
  return {
    groups,
    boxes,
    pools,
    forges,
    watched,
    playbooks,
    warnings: sortProblems(problems).map(formatProblem),
  }
}

/**
 * Reads a configuration of coding tasks: the hub provisions its runners; the rest is for programs that submit tasks.
 */
function configOfTasks(text: string, file: string): HubConfig {
  const { pool, warnings, services } = readTaskConfig(text, file)
  const elsewhere = Object.keys(services).map(
    (key) => `${file}: ${key} is not used here. Set ERRAND_${key.toUpperCase()}.`,
  )
  const pools = pool === undefined ? [] : [wholePool(TASK_GROUP, pool)]
  return { ...NO_CONFIG, pools, warnings: [...warnings, ...elsewhere] }
}

const needed: Readonly<Partial<Record<keyof DriverSettings, { what: string; such: string }>>> = {
  command: { what: 'the program to call', such: 'command: [/opt/errand/make-runner]' },
  image: { what: 'an image that contains Errand', such: 'image: errand' },
}

const kindsThatTake = (key: keyof DriverSettings): string[] =>
  Object.entries(settingsOfKinds).flatMap(([kind, { needs, takes }]) =>
    [...needs, ...takes].includes(key) ? [`provisioner: ${kind}`] : [],
  )

/**
 * Returns the groups with provisioned runners. Reports missing settings, and those that the provisioner does not
 * support.
 */
function poolsOf(groups: Readonly<Record<string, Group>>, report: Report): Pool[] {
  const pools: Pool[] = []
  for (const [name, { isolation: _, network: __, provisioner, ...group }] of Object.entries(groups)) {
    const [first] = Object.keys(group)
    if (provisioner === undefined) {
      if (first !== undefined)
        report.say(['groups', name, first], 'needs a provisioner', {
          at: 'key',
          hint: 'add how the runners are provisioned, such as: provisioner: process',
        })
      continue
    }
    const settings = driverSettings(group)
    const { needs, takes } = settingsOfKinds[provisioner]
    for (const key of needs)
      if (settings[key] === undefined)
        report.say(['groups', name, 'provisioner'], `needs ${needed[key]!.what}`, {
          at: 'key',
          hint: `add: ${needed[key]!.such}`,
        })
    for (const key of Object.keys(settings) as (keyof typeof settings)[])
      if (![...needs, ...takes].includes(key))
        report.say(['groups', name, key], `is not used by the provisioner "${provisioner}"`, {
          at: 'key',
          hint: `remove it; it is for ${kindsThatTake(key).join(' and ')}`,
        })
    const pool = wholePool(name, { ...group, provisioner })
    const { max, spare } = pool
    if (spare > max)
      report.say(['groups', name, 'spare'], 'is greater than max', {
        at: 'key',
        hint: `write spare: ${max} or less, or raise max`,
      })
    pools.push(pool)
  }
  return pools
}

/** Adds the defaults to a group's settings. */
function wholePool(group: string, settings: Omit<Group, 'provisioner'> & Pick<Pool, 'provisioner'>): Pool {
  const {
    max = 10,
    spare = 0,
    idle_seconds = 60,
    start_seconds = 300,
    paused = false,
    labels = {},
  } = settings
  return {
    group,
    ...{ provisioner: settings.provisioner, max, spare, idle_seconds, start_seconds, paused, labels },
    ...{ slots: settings.slots, hub_url: settings.hub_url, spare_tenant: settings.spare_tenant },
    ...driverSettings(settings),
  }
}

const isStrict = ([key, , within]: readonly (string | number)[]): boolean =>
  ((key === 'groups' || key === 'forges') && within !== undefined) || (key === 'repos' && within === 'watch')

function refusal(file: string, problems: Problem[]): ErrandError {
  const errors = sortProblems(problems).filter(({ severity }) => severity === 'error')
  const [
    {
      line,
      column,
      message,
      hint = 'Example: repos: [{name: frontend-app, work_runner_group: frontend-runners}]',
    },
  ] = errors as [Problem]
  const more = errors.length > 1 ? ` (and ${errors.length - 1} more)` : ''
  const place = line === undefined ? file : `${file}:${line}:${column}`
  return new ErrandError('invalid_argument', `${place}: ${message}${more}.`, { hint, details: { problems } })
}

/** Milliseconds between checks of the file: it may be replaced, linked or mounted, which only its state shows. */
const LOOK_MS = 2_000

export interface ConfigFileOptions {
  /** Absent when there is no file. */
  file: string | undefined
  log(message: string): void
}

/** Keeps the hub's configuration up to date with its file. A later invalid version changes nothing. */
export class ConfigFile {
  readonly #options: ConfigFileOptions
  readonly #listeners: (() => void)[] = []
  #config: HubConfig = NO_CONFIG
  /** State of the file just before the last read. */
  #seen = ''
  #timer: NodeJS.Timeout | undefined

  /** Reads the file. Throws `invalid_argument` when it cannot be read or is invalid. */
  constructor(options: ConfigFileOptions) {
    this.#options = options
    if (options.file === undefined) return
    const { file } = options
    this.#read(file)
    this.#timer = setInterval(() => {
      if (stateOf(file) !== this.#seen) this.reload()
    }, LOOK_MS).unref()
  }

  /** Returns the runner group of a repository; undefined: any. */
  groupOf(repository: string | undefined): string | undefined {
    return repository === undefined ? undefined : this.#config.groups.get(repository)
  }

  /** Returns the named runner groups, with their repositories and minimum boxes. */
  groups(): { name: string; repositories: string[]; isolation?: Isolation; network?: Network }[] {
    const named = new Set([...this.#config.boxes.keys(), ...this.#config.groups.values()])
    return [...named].map((name) => ({
      name,
      repositories: [...this.#config.groups].filter(([, group]) => group === name).map(([repo]) => repo),
      ...this.#config.boxes.get(name),
    }))
  }

  /** Returns the minimum box for a runner group; undefined: none is required. */
  boxOf(group: string): Pick<Group, 'isolation' | 'network'> | undefined {
    return this.#config.boxes.get(group)
  }

  /** Returns the groups with provisioned runners. */
  pools(): readonly Pool[] {
    return this.#config.pools
  }

  /** Returns the repositories whose labeled issues become tasks. */
  watched(): readonly WatchedRepository[] {
    return this.#config.watched
  }

  /** Returns the playbooks for tasks whose repository has no matching one, in their order. */
  playbooks(): readonly Playbook[] {
    return this.#config.playbooks
  }

  /** Returns the forge at a host, in lower case; undefined when it is not configured. */
  forgeOf(host: string): ConfiguredForge | undefined {
    return this.#config.forges.get(host)
  }

  /**
   * Reports whether a secret of this name is the private key of an App, or signs webhooks: no step gets such a secret.
   */
  isAppKey(name: string): boolean {
    return [...this.#config.forges.values()].some(
      ({ app, webhook_secret }) => app?.private_key === name || webhook_secret === name,
    )
  }

  /** Calls the listener after each change that was applied. */
  onChanged(listener: () => void): void {
    this.#listeners.push(listener)
  }

  /** Reads the file again; if that fails, the previous configuration stays. */
  reload(): void {
    const { file, log } = this.#options
    if (file === undefined) return
    try {
      this.#read(file)
      log(`${file} was reloaded.`)
      for (const listener of this.#listeners) listener()
    } catch (error) {
      log(`${(error as Error).message} The previous configuration stays in effect.`)
    }
  }

  /** May be called twice. */
  close(): void {
    clearInterval(this.#timer)
  }

  #read(file: string): void {
    this.#seen = stateOf(file)
    this.#config = parseConfig(textOf(file), file)
    for (const warning of this.#config.warnings) this.#options.log(warning)
  }
}

/** Returns a text that differs for another file and after each change. */
function stateOf(file: string): string {
  try {
    const { ino, size, mtimeNs } = statSync(file, { bigint: true })
    return `${ino} ${size} ${mtimeNs}`
  } catch (error) {
    return (error as Error).message
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (cause) {
    throw new ErrandError('invalid_argument', `${file} cannot be read: ${(cause as Error).message}.`, {
      hint: 'Name another file with --config, or omit --config.',
      cause,
    })
  }
}

/** Returns the path of the hub's configuration: `--config`, ERRAND_CONFIG, or the first existing default. */
export function configPath(option: string | undefined, data: string, env: Env): string | undefined {
  const named = option ?? setting(env, 'ERRAND_CONFIG')
  if (named !== undefined) return resolve(named)
  const names = ['errand.yaml', 'ados.yaml']
  return [...names, ...names.map((name) => join(data, name))].map((path) => resolve(path)).find(existsSync)
}
