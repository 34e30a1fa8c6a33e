import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { AttemptLimits, AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import {
  type Isolation,
  type MadeBox,
  Network,
  permitted,
  strictestIsolation,
  strictestNetwork,
} from '../../contract/isolation.ts'
import type { GivenIsolation } from '../../contract/protocol.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { closeInherited } from '../../platform/proc.ts'
import { ChangeWatch } from '../../platform/time.ts'
import type { Doors } from '../proxy/doors.ts'
import type { Box, BoxPlaces } from './box.ts'
import { BoxDoor } from './box-door.ts'
import { findBridge, sshConfig } from './bridge.ts'
import { BubblewrapBox, type BubblewrapMachine } from './bubblewrap.ts'
import type { Found } from './probe.ts'
import { seccompFilter } from './seccomp-filter.ts'

/** The box that an attempt is put into, kept with its facts: a later process of the runner opens the same. */
export const BoxFacts = z.object({
  isolation: z.enum(['sandbox', 'container']),
  network: Network,
  image: z.string().optional(),
})
export type BoxFacts = z.infer<typeof BoxFacts>

/** The containers that this machine can make for attempts. */
export interface ContainerMaker {
  /** Why it can make none; undefined where it can, as far as it was seen. */
  readonly unusable: string | undefined
  /** Of steps that name none. */
  readonly image: string | undefined
  /** Looks whether it can make some. Never rejects. */
  look(): Promise<void>
  box(order: { image: string; door: BoxDoor; folder: string; key: string; limits: AttemptLimits }): Box
  /** Removes what attempts have left that are gone. Never rejects. */
  sweep(log?: (message: string) => void): Promise<void>
}

export interface BoxesOptions {
  /** Folder of what all boxes share. */
  stateDir: string
  /** The abilities of bubblewrap here, as it was tried. */
  bubblewrap: Found
  /** The least that this machine asks for; `auto`: a box for agents where one can be had. */
  least: 'auto' | Isolation
  /** The most that this machine lets its attempts reach. */
  network?: Network
  /** Attempts come from a hub, which has taken private hosts out of what runs ask for; else that is done here. */
  fromHub?: boolean
  /** Agents are refused where they would have no box. */
  required?: boolean
  /** Its runner was made for one run, as this. */
  madeBox?: MadeBox
  /** Places that the operator lets into every box. */
  mounts?: BoxPlaces
  /** Files and folders of the hub and the runner, which stand in no box. */
  hidden: readonly string[]
  /** Opens the ways out of boxes; absent: there are none. */
  doors?: Doors
  /** Who makes commits in a box, as the machine's git has it. */
  identity?: { name?: string; email?: string }
  /** Absent: it makes no containers. */
  containers?: ContainerMaker
}

const ETC: Readonly<Record<string, string>> = {
  passwd:
    'errand:x:1000:1000:errand:/home/errand:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n',
  group: 'errand:x:1000:\nnogroup:x:65534:\n',
  hosts: '127.0.0.1 localhost errand\n::1 localhost\n',
  // Nobody listens there, which all resolvers but musl's see at once; that one goes by its timeout.
  'resolv.conf': 'nameserver 127.0.0.1\noptions timeout:0 attempts:1\n',
  'nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

/** The boxes of this machine: which kinds it can make, which an attempt gets. */
export class Boxes {
  readonly #options: BoxesOptions
  #machine: BubblewrapMachine | undefined
  #resumed: Promise<void> | undefined

  constructor(options: BoxesOptions) {
    this.#options = options
  }

  /** For a person: whether there can be boxes here, and why not. */
  get text(): string {
    const { least, bubblewrap, madeBox } = this.#options
    if (madeBox !== undefined)
      return `The ${madeBox} that this runner is was made for one run, and is its box.`
    if (bubblewrap.type === 'usable') return `Sandboxes are made by bubblewrap ${bubblewrap.version}.`
    const agents = least === 'auto' ? ' Agents run without one.' : ''
    return `There are no sandboxes: ${bubblewrap.why}${agents} ${bubblewrap.hint}`
  }

  /** The boxes that it can give, as a runner tells its hub. */
  get given(): GivenIsolation {
    const { bubblewrap, containers, least, madeBox } = this.#options
    const sandbox =
      bubblewrap.type === 'usable'
        ? { usable: true }
        : { usable: false, why: `${bubblewrap.why} ${bubblewrap.hint}` }
    const why = containers ? containers.unusable : NO_CONTAINERS
    const container = why === undefined ? { usable: true } : { usable: false, why }
    // What asks for less gets what the machine asks for.
    return { sandbox: least === 'container' ? container : sandbox, container, made_box: madeBox }
  }

  /** Tells the same when it has changed: an engine may come and go. */
  watch(tell: (given: GivenIsolation) => void): ChangeWatch<GivenIsolation> {
    const look = async () => {
      await this.#options.containers?.look()
      return this.given
    }
    return new ChangeWatch({ everyMs: LOOKED_EVERY_MS, look, tell })
  }

  /** Undefined: the attempt gets none. Throws `unavailable` where it asks for more than this machine can give. */
  facts(spec: AttemptSpec, kind: 'process' | 'agent' | 'platform'): BoxFacts | undefined {
    const { least, bubblewrap, required } = this.#options
    const asked = strictestIsolation(spec.isolation, least === 'auto' ? undefined : least)
    const isolation = asked ?? (kind !== 'process' && bubblewrap.type === 'usable' ? 'sandbox' : 'none')
    if (isolation === 'none') {
      if (!required || kind === 'process') return undefined
      if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
      throw unavailable(
        'This machine runs agents in a sandbox only, and this one is to have none.',
        'Leave isolation: none out, or change ERRAND_SANDBOX_REQUIRED where the runner is started.',
      )
    }
    const reached = this.#reachOf(spec)
    if (isolation === 'container') return { isolation, network: reached, image: this.#image(spec) }
    if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
    return { isolation, network: reached, image: spec.image }
  }

  /** The limits of an action that this program carries out itself: set where it would be in a box. Asks for nothing of the machine. */
  apart(spec: AttemptSpec): { network: Network } | undefined {
    const { least } = this.#options
    const asked = strictestIsolation(spec.isolation, least === 'auto' ? undefined : least)
    if (asked === undefined || asked === 'none') return undefined
    return { network: this.#reachOf(spec) }
  }

  #reachOf(spec: AttemptSpec): Network {
    const { network, fromHub } = this.#options
    return strictestNetwork(fromHub ? spec.network : permitted(spec.network, network), network) ?? 'all'
  }

  /** The box of attempts that get none here, where their runner is one itself. Nobody has checked what its network lets through. */
  get made(): { made_box: MadeBox; network: Network } | undefined {
    const { madeBox } = this.#options
    return madeBox && { made_box: madeBox, network: 'all' }
  }

  /** A sentence for the run of an agent that gets no box though nobody asked for none; undefined where there is nothing to say. */
  without(spec: AttemptSpec): string | undefined {
    const { least, bubblewrap, madeBox } = this.#options
    if (least !== 'auto' || spec.isolation !== undefined || bubblewrap.type === 'usable') return undefined
    if (madeBox !== undefined)
      return `Its box is the ${madeBox} that was made for its run: in there it reaches all that the runner does. The network of the ${madeBox} counts as open, since nobody has checked what it lets through.`
    return `It runs without a sandbox, and so reaches all that the user of this machine's runner does. ${bubblewrap.why} ${bubblewrap.hint}`
  }

  /** Removes the containers that attempts have left which are gone. Never rejects. */
  async sweep(log?: (message: string) => void): Promise<void> {
    await this.#options.containers?.sweep(log)
  }

  /** The box of an attempt, whose files stand in that folder; `key` tells it from all others of this machine. */
  box(
    { isolation, network, image }: BoxFacts,
    attempt: string,
    key: string,
    limits: AttemptLimits = {},
  ): Box {
    const { doors, containers } = this.#options
    // Doors of an earlier process are open, or will be: what stands behind them asks again.
    this.#resumed ??= doors?.resume().catch(() => undefined)
    const door = new BoxDoor({ doors, key, network, folder: attempt })
    const folder = join(attempt, 'box')
    if (isolation === 'sandbox') return new BubblewrapBox(() => this.#shared(), folder, door)
    if (!containers || image === undefined) throw unavailable(NO_CONTAINERS)
    return containers.box({ image, door, folder, key, limits })
  }

  #image({ image }: AttemptSpec): string {
    const { containers } = this.#options
    if (!containers) throw unavailable(NO_CONTAINERS)
    const named = image ?? containers.image
    if (named !== undefined) return named
    throw new ErrandError('invalid_argument', 'It is to run in a container, and names no image.', {
      hint: 'Write image: beside isolation: container, or set ERRAND_SANDBOX_IMAGE where the runner is started.',
    })
  }

  /** Ends what holds boxes up and is needed no more. May be called twice; boxes may be made after it. */
  async close(): Promise<void> {
    await this.#options.doors?.leave()
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

/** All that is in a box is its user's own, also where the machine has mapped that to nobody. */
function gitConfig({ name, email }: NonNullable<BoxesOptions['identity']> = {}): string {
  const line = (key: string, value?: string) =>
    value === undefined ? '' : `\t${key} = ${JSON.stringify(value)}\n`
  return `[safe]\n\tdirectory = *\n[user]\n${line('name', name)}${line('email', email)}`
}

const LOOKED_EVERY_MS = 30_000

const NO_CONTAINERS = 'This machine runs no containers for attempts.'

const unavailable = (why: string, hint?: string): ErrandError => new ErrandError('unavailable', why, { hint })
