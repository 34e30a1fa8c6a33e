import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import type { AttemptSpec } from '../../contract/attempt.ts'
import { ErrandError } from '../../contract/errors.ts'
import { type Isolation, Network } from '../../contract/isolation.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import type { Box, BoxPlaces } from './box.ts'
import { BubblewrapBox, type BubblewrapMachine } from './bubblewrap.ts'
import type { Found } from './probe.ts'
import { seccompFilter } from './seccomp-filter.ts'

/** What an attempt is put into, kept with its facts: a later process of the runner opens the same. */
export const BoxFacts = z.object({
  isolation: z.enum(['sandbox', 'container']),
  network: Network,
  image: z.string().optional(),
})
export type BoxFacts = z.infer<typeof BoxFacts>

export interface BoxesOptions {
  /** Folder of what all boxes share. */
  stateDir: string
  /** What bubblewrap can do here, as it was tried. */
  bubblewrap: Found
  /** The least that this machine asks for; `auto`: a box for agents where one can be had. */
  least: 'auto' | Isolation
  /** The most that this machine lets its attempts reach. */
  network?: Network
  /** What the operator lets into every box. */
  mounts?: BoxPlaces
  /** Folders of the hub and the runner, which stand in no box. */
  hidden: readonly string[]
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

  constructor(options: BoxesOptions) {
    this.#options = options
  }

  /** Undefined: the attempt gets none. Throws `unavailable` where it asks for more than this machine can give. */
  facts(spec: AttemptSpec, kind: 'process' | 'agent'): BoxFacts | undefined {
    const { least, bubblewrap } = this.#options
    const asked = spec.isolation ?? (least === 'auto' ? undefined : least)
    const isolation = asked ?? (kind === 'agent' && bubblewrap.type === 'usable' ? 'sandbox' : 'none')
    if (isolation === 'none') return undefined
    if (isolation === 'container') throw unavailable('This machine runs no containers for attempts.')
    if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
    return { isolation, network: spec.network ?? this.#options.network ?? 'all', image: spec.image }
  }

  /** The box of an attempt, whose files stand in that folder. */
  box(_facts: BoxFacts, folder: string): Box {
    return new BubblewrapBox(this.#shared(), join(folder, 'box'))
  }

  #shared(): BubblewrapMachine {
    if (this.#machine) return this.#machine
    const { stateDir, bubblewrap, mounts = { writable: [], readable: [] }, hidden } = this.#options
    if (bubblewrap.type !== 'usable') throw unavailable(bubblewrap.why, bubblewrap.hint)
    const etc = join(stateDir, 'etc')
    mkdirSync(etc, { recursive: true, mode: 0o755 })
    for (const [name, text] of Object.entries(ETC)) writeFileSync(join(etc, name), text)
    const filter = join(stateDir, 'filter')
    writeFileAtomic(filter, seccompFilter(process.arch) ?? Buffer.alloc(0), { mode: 0o644, durable: false })
    const { path, disablesUserNamespaces } = bubblewrap
    this.#machine = { path, disablesUserNamespaces, etc, filter, mounts, hidden }
    return this.#machine
  }
}

const unavailable = (why: string, hint?: string): ErrandError => new ErrandError('unavailable', why, { hint })
