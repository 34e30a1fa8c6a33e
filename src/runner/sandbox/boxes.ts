import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { AttemptLimits, AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import {
  type Isolation,
  Network,
  type ProvisionedBox,
  permitted,
  strictestIsolation,
  strictestNetwork,
} from '../../contract/isolation.ts'
import type { OfferedIsolation } from '../../contract/protocol.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { closeInherited } from '../../platform/proc.ts'
import { ChangeWatch } from '../../platform/time.ts'
import type { ProxySupervisor } from '../proxy/proxy-supervisor.ts'
import type { Box, BoxMounts } from './box.ts'
import { BoxEndpoint } from './box-endpoint.ts'
import { findBridge, sshConfig } from './bridge.ts'
import { BubblewrapBox, type BubblewrapMachine } from './bubblewrap.ts'
import type { ProbeResult } from './probe.ts'
import { seccompFilter } from './seccomp-filter.ts'

/** Box of an attempt, stored with its facts so that a later process of the runner opens the same one. */
export const BoxFacts = z.object({
  isolation: z.enum(['sandbox', 'container']),
  network: Network,
  image: z.string().optional(),
})
export type BoxFacts = z.infer<typeof BoxFacts>

/** Describes the containers that this machine can make for attempts. */
export interface ContainerMaker {
  /** Reason why it can make none; undefined if it can, as far as it was checked. */
  readonly unusable: string | undefined
  /** Image for steps that name none. */
  readonly image: string | undefined
  /** Checks whether it can make containers. Never rejects. */
  look(): Promise<void>
  box(order: {
    image: string
    endpoint: BoxEndpoint
    folder: string
    key: string
    limits: AttemptLimits
  }): Box
  /** Removes the containers of attempts that are gone. Never rejects. */
  sweep(log?: (message: string) => void): Promise<void>
}

export interface BoxesOptions {
  /** Folder for state that all boxes share. */
  stateDir: string
  /** Abilities of bubblewrap here, as the probe found them. */
  bubblewrap: ProbeResult
  /** Least isolation that this machine requires; `auto`: a box for agents if one is available. */
  least: 'auto' | Isolation
  /** Widest network that this machine allows its attempts. */
  network?: Network
  /**
   * Set if attempts come from a hub, which has removed private hosts from what runs request; otherwise that is done
   * here.
   */
  fromHub?: boolean
  /** Refuses agents that would have no box. */
  required?: boolean
  /** Kind of the box that this runner itself is in, if it was made for one run. */
  provisionedBox?: ProvisionedBox
  /** Places that the operator mounts into every box. */
  mounts?: BoxMounts
  /** Files and folders of the hub and the runner that no box can see. */
  hidden: readonly string[]
  /** Opens the ways out of boxes; absent if there are none. */
  supervisor?: ProxySupervisor
  /** Identity for commits in a box, from the machine's Git. */
  identity?: { name?: string; email?: string }
  /** Makes containers; absent if this machine makes none. */
  containers?: ContainerMaker
}

const ETC: Readonly<Record<string, string>> = {
  passwd:
    'errand:x:1000:1000:errand:/home/errand:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  group: 'errand:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost errand\n::1 localhost\n',
  // Nothing listens there, which all resolvers except musl's see at once; musl's uses its timeout.
  'resolv.conf': 'nameserver 127.0.0.1\noptions timeout:0 attempts:1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/** Manages the boxes of this machine: which kinds it can make, and which one an attempt gets. */
export class Boxes {
  readonly #options: BoxesOptions
  #machine: BubblewrapMachine | undefined
  #resumed: Promise<void> | undefined

  constructor(options: BoxesOptions) {
    this.#options = options
  }

  /** Text for a person: whether there can be boxes here, or why not. */
  get text(): string {
    const { least, bubblewrap, provisionedBox } = this.#options
    if (provisionedBox !== undefined)
      return `This runner is a ${provisionedBox} that was created for one run. The ${provisionedBox} is the box of that run.`
    if (bubblewrap.type === 'usable') return `Sandboxes use bubblewrap ${bubblewrap.version}.`
    const agents = least === 'auto' ? ' Agents run without one.' : ''
    return `Sandboxes are not available: ${bubblewrap.why}${agents} ${bubblewrap.hint}`
  }

  /** Boxes that it can provide, as a runner reports them to its hub. */
  get offered(): OfferedIsolation {
    const { bubblewrap, containers, least, provisionedBox } = this.#options
    const sandbox =
      bubblewrap.type === 'usable'
        ? { usable: true }
        : { usable: false, why: `${bubblewrap.why} ${bubblewrap.hint}` }
    const why = containers ? containers.unusable : NO_CONTAINERS
    const container = why === undefined ? { usable: true } : { usable: false, why }
    // A step that requests less gets what the machine requires.
    return { sandbox: least === 'container' ? container : sandbox, container, made_box: provisionedBox }
  }

  /** Reports the boxes when they have changed: a container engine may come and go. */
  watch(report: (offered: OfferedIsolation) => void): ChangeWatch<OfferedIsolation> {
    const look = async () => {
      await this.#options.containers?.look()
      return this.offered
    }
    return new ChangeWatch({ everyMs: CHECK_INTERVAL_MS, look, report })
  }

  /**
   * Chooses the box of an attempt; undefined if it gets none. Throws `unavailable` if it requires more than this
   * machine can provide.
   */
  facts(spec: AttemptSpec, kind: 'process' | 'agent' | 'platform'): BoxFacts | undefined {
    const { least, bubblewrap, required } = this.#options
    const requested = strictestIsolation(spec.isolation, least === 'auto' ? undefined : least)
    const isolation = requested ?? (kind !== 'process' && bubblewrap.type === 'usable' ? 'sandbox' : 'none')
    if (isolation === 'none') {
      if (!required || kind === 'process') return undefined
      if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
      throw unavailable(
        'This machine runs agents only in a sandbox, but this agent has isolation: none.',
        'Remove isolation: none, or change ERRAND_SANDBOX_REQUIRED where the runner is started.',
      )
    }
    const reached = this.#reachOf(spec)
    if (isolation === 'container') return { isolation, network: reached, image: this.#image(spec) }
    if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
    return { isolation, network: reached, image: spec.image }
  }

  /**
   * Returns the restrictions for an action that this program runs itself, if it would be in a box. Requires nothing of
   * the machine.
   */
  apart(spec: AttemptSpec): { network: Network } | undefined {
    const { least } = this.#options
    const requested = strictestIsolation(spec.isolation, least === 'auto' ? undefined : least)
    if (requested === undefined || requested === 'none') return undefined
    return { network: this.#reachOf(spec) }
  }

  #reachOf(spec: AttemptSpec): Network {
    const { network, fromHub } = this.#options
    return strictestNetwork(fromHub ? spec.network : permitted(spec.network, network), network) ?? 'all'
  }

  /**
   * Box around the runner itself, for attempts that get none here. Nobody has checked what its network lets through.
   */
  get made(): { made_box: ProvisionedBox; network: Network } | undefined {
    const { provisionedBox } = this.#options
    return provisionedBox && { made_box: provisionedBox, network: 'all' }
  }

  /**
   * Returns a sentence for an agent that gets no box although the step did not choose that; undefined if there is
   * nothing to say.
   */
  without(spec: AttemptSpec): string | undefined {
    const { least, bubblewrap, provisionedBox } = this.#options
    if (least !== 'auto' || spec.isolation !== undefined || bubblewrap.type === 'usable') return undefined
    if (provisionedBox !== undefined)
      return `The agent's box is the ${provisionedBox} that was created for its run. In it, the agent can reach everything that the runner can reach. The network of the ${provisionedBox} counts as open, because nobody has checked what it lets through.`
    return `The agent runs without a sandbox, so it can reach everything that the user of this machine's runner can reach. ${bubblewrap.why} ${bubblewrap.hint}`
  }

  /** Removes the containers of attempts that are gone. Never rejects. */
  async sweep(log?: (message: string) => void): Promise<void> {
    await this.#options.containers?.sweep(log)
  }

  /** Opens the box of an attempt, whose files are in that folder; `key` is unique on this machine. */
  box(
    { isolation, network, image }: BoxFacts,
    attempt: string,
    key: string,
    limits: AttemptLimits = {},
  ): Box {
    const { supervisor, containers } = this.#options
    // The endpoints of an earlier process are open, or will be: the programs behind them ask again.
    this.#resumed ??= supervisor?.resume().catch(() => undefined)
    const endpoint = new BoxEndpoint({ supervisor, key, network, folder: attempt })
    const folder = join(attempt, 'box')
    if (isolation === 'sandbox') return new BubblewrapBox(() => this.#shared(), folder, endpoint)
    if (!containers || image === undefined) throw unavailable(NO_CONTAINERS)
    return containers.box({ image, endpoint, folder, key, limits })
  }

  #image({ image }: AttemptSpec): string {
    const { containers } = this.#options
    if (!containers) throw unavailable(NO_CONTAINERS)
    const named = image ?? containers.image
    if (named !== undefined) return named
    throw new ErrandError('invalid_argument', 'The step runs in a container but names no image.', {
      hint: 'Write image: beside isolation: container, or set ERRAND_SANDBOX_IMAGE where the runner is started.',
    })
  }

  /** Ends what holds boxes up and is not needed any more. Idempotent; boxes may be made after it. */
  async close(): Promise<void> {
    await this.#options.supervisor?.leave()
  }

  #shared(): BubblewrapMachine {
    if (this.#machine) return this.#machine
    const { stateDir, bubblewrap, mounts = { writable: [], readable: [] }, hidden, identity } = this.#options
    if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
    closeInherited()
    const etc = join(stateDir, 'etc')
    mkdirSync(etc, { recursive: true, mode: 0o755 })
    const files = { ...ETC, gitconfig: gitConfig(identity), ssh_config: sshConfig() }
    for (const [name, text] of Object.entries(files))
      writeFileAtomic(join(etc, name), text, { durable: false })
    const filter = join(stateDir, 'filter')
    writeFileAtomic(filter, seccompFilter(process.arch) ?? Buffer.alloc(0), { mode: 0o644, durable: false })
    const { path, disablesUserNamespaces, sizesTemp, closesDevices } = bubblewrap
    this.#machine = {
      ...{ path, disablesUserNamespaces, sizesTemp, closesDevices, etc, filter, mounts, hidden },
      bridge: findBridge(),
    }
    return this.#machine
  }
}

/**
 * Builds the Git configuration of a box. Everything in a box belongs to its user, even where the machine has mapped
 * that to nobody.
 */
function gitConfig({ name, email }: NonNullable<BoxesOptions['identity']> = {}): string {
  const line = (key: string, value?: string) =>
    value === undefined ? '' : `\t${key} = ${JSON.stringify(value)}\n`
  return `[safe]\n\tdirectory = *\n[user]\n${line('name', name)}${line('email', email)}`
}

const CHECK_INTERVAL_MS = 30_000

const NO_CONTAINERS = 'This machine does not run attempts in containers.'

const unavailable = (why: string, hint?: string): ErrandError => new ErrandError('unavailable', why, { hint })
