import { readFileSync } from 'node:fs'
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { writeFileAtomic } from '../../platform/files.ts'
import { type BoxedCommand, type BoxedEnd, StepFailure } from '../platform-steps/platform-step.ts'
import type { OurRepository, TreeEntry } from './our-repository.ts'
import { listInBox } from './pack-in-box.ts'
import { withFolders } from './safe-change.ts'
import { type TreeChange, treeChanges } from './tree-changes.ts'

/** Entry of a file as `<mode> <id>`; empty if it does not exist. */
type Entry = string

/** Records what the setup of a run changed in its workspace, where no box can write. */
interface SetupRecord {
  /** Commit that everything is compared with. */
  start: string
  /** Files that differed from it before the first command. */
  before: readonly (readonly [path: string, entry: Entry])[]
  /** Files that it has left, each before and after it. */
  left: readonly (readonly [path: string, before: Entry, after: Entry])[]
  /** Set while the setup has not finished: nobody has worked in the workspace since. */
  isOpen: boolean
}

const RECORD = 'errand-setup.json'
/** Limit in bytes; nobody could push the files of a longer list. */
const MAX_LIST_BYTES = 64 * 1024 ** 2
const LIST_MS = 10 * 60_000
const MISSING = /^000000 /
/** Character that stands for bytes of a file name that are not text. */
const UNREADABLE = '\ufffd'

export interface SetupWatchOptions {
  start: string
  /** Repository of ours for the run; it contains the record, which is deleted with the run. */
  own_git: string
  mirror: string
  /** Folder of ours that no box has. */
  folder: string
  boxed(command: BoxedCommand): Promise<BoxedEnd>
}

/** Files that differ from the start, each with its entry there and now. */
type Listing = Map<string, { was: Entry; now: Entry }>

/** Records what the commands of a setup change, except what is to be committed. */
export class SetupWatch {
  readonly #options: SetupWatchOptions
  readonly #left = new Map<string, [Entry, Entry]>()
  #before: SetupRecord['before'] = []
  #last: Listing | undefined
  #commits = false

  constructor(options: SetupWatchOptions) {
    this.#options = options
  }

  /** Called before each command; `commits`: what it changes belongs to the change. Throws `StepFailure`. */
  async begin(commits: boolean): Promise<void> {
    if (this.#last === undefined) await this.#open()
    else if (commits !== this.#commits) await this.#settle()
    this.#commits = commits
  }

  /** Called when no more commands come. Throws `StepFailure`. */
  async end(): Promise<void> {
    if (this.#last === undefined) return
    if (await this.#settle()) this.#write(false)
  }

  /** Begins with the files that an earlier process of the runner recorded but did not finish. */
  async #open(): Promise<void> {
    const earlier = readSetup(this.#options.own_git)
    const now = await this.#list()
    if (now === undefined) return
    this.#last = now
    this.#before = [...now].map(([path, entry]) => [path, entry.now])
    if (earlier?.start === this.#options.start) {
      this.#before = earlier.before
      const before = new Map(earlier.before)
      this.#last = new Map(
        [...new Set([...now.keys(), ...before.keys()])].map((path) => {
          const was = now.get(path)?.was ?? ''
          return [path, { was, now: before.get(path) ?? was }]
        }),
      )
    }
    this.#write(true)
  }

  /** Records the changes; returns false if the step is to end, and nothing is known. */
  async #settle(): Promise<boolean> {
    const before = this.#last!
    const now = await this.#list()
    if (now === undefined) return false
    for (const path of new Set([...before.keys(), ...now.keys()])) {
      const [old, late] = [before.get(path), now.get(path)]
      const from = old?.now ?? late!.was
      const to = late?.now ?? old!.was
      if (from === to) continue
      if (this.#commits) this.#left.delete(path)
      else this.#left.set(path, [this.#left.get(path)?.[0] ?? from, to])
    }
    this.#last = now
    return true
  }

  async #list(): Promise<Listing | undefined> {
    const { start, mirror, folder, boxed } = this.#options
    const file = join(folder, 'listed')
    try {
      if (!(await listInBox(boxed, { start, mirror, file, timeoutMs: LIST_MS }))) return undefined
      return readListing(await readFile(file))
    } finally {
      await rm(file, { force: true })
    }
  }

  #write(isOpen: boolean): void {
    const { start, own_git } = this.#options
    const record: SetupRecord = {
      ...{ start, isOpen, before: this.#before },
      left: [...this.#left].map(([path, [before, after]]) => [path, before, after]),
    }
    writeFileAtomic(join(own_git, RECORD), JSON.stringify(record), { mode: 0o600 })
  }
}

function readListing(bytes: Buffer): Listing {
  if (bytes.length > MAX_LIST_BYTES)
    throw new StepFailure(
      'too_large',
      'The setup leaves more files behind than a change may have.',
      'List what it installs or builds in .gitignore.',
    )
  const records = bytes.toString('utf8').split('\0')
  const listing: Listing = new Map()
  for (let at = 0; at + 1 < records.length; at += 2) {
    const [, oldMode, mode, oldId, id] =
      /^:(\d{6}) (\d{6}) ([0-9a-f]{40,64}) ([0-9a-f]{40,64}) [A-Z]$/.exec(records[at]!) ?? []
    const path = records[at + 1]!
    if (oldMode === undefined || path.includes(UNREADABLE)) continue
    listing.set(path, { was: entryOf(oldMode, oldId!), now: entryOf(mode!, id!) })
  }
  return listing
}

const entryOf = (mode: string, id: string): Entry => {
  const entry = `${mode} ${id}`
  return MISSING.test(entry) ? '' : entry
}

function readSetup(own_git: string): SetupRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(own_git, RECORD), 'utf8')) as SetupRecord
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

interface KnownSetup extends Pick<SetupRecord, 'start' | 'isOpen'> {
  before: ReadonlyMap<string, Entry>
  left: ReadonlyMap<string, readonly [before: Entry, after: Entry]>
}

export interface WithoutSetupOptions {
  repository: OurRepository
  own_git: string
  /** Commit that the change begins at. */
  start: string
  /** Temporary file of ours, deleted with its folder. */
  index: string
}

/** Removes from trees what the setup of the run has left, unless somebody has changed it since. */
export class WithoutSetup {
  readonly #options: WithoutSetupOptions
  readonly #record: KnownSetup | undefined
  readonly #known = new Map<string, string>()

  constructor(options: WithoutSetupOptions) {
    this.#options = options
    const record = readSetup(options.own_git)
    this.#record = record && {
      ...record,
      before: new Map(record.before),
      left: new Map(record.left.map(([path, ...entries]) => [path, entries])),
    }
  }

  /** Returns the tree to commit. */
  async tree(tree: string): Promise<string> {
    const record = this.#record
    if (record === undefined) return tree
    const known = this.#known.get(tree)
    if (known !== undefined) return known
    const { repository, start, index } = this.#options
    const changes = await treeChanges(repository, start, tree)
    const entries = await this.#present(withoutLeft(record, start, changes))
    const made = entries.length === 0 ? tree : await repository.treeWith(tree, entries, index)
    this.#known.set(tree, made)
    return made
  }

  /** Keeps files that exist only in somebody's folder and in no commit: they are nowhere else. */
  async #present(entries: readonly TreeEntry[]): Promise<TreeEntry[]> {
    const files = entries.filter(({ mode }) => mode !== GONE)
    if (files.length === 0) return [...entries]
    const missing = new Set<string>()
    await this.#options.repository.lines(
      ['cat-file', '--batch-check=%(objectname)'],
      (line) => {
        if (line.endsWith(' missing')) missing.add(line.split(' ')[0]!)
      },
      files.map(({ id }) => `${id}\n`).join(''),
    )
    return entries.filter(({ id, mode }) => mode === GONE || mode === SUBMODULE || !missing.has(id))
  }
}

const GONE = '0'
const SUBMODULE = '160000'

function withoutLeft(
  { left, before, isOpen, start: then }: KnownSetup,
  start: string,
  changes: readonly TreeChange[],
): TreeEntry[] {
  const entries: TreeEntry[] = []
  const isInTheWay = namesOf(changes)
  const isSameStart = then === start
  for (const { path, mode, id, oldMode, oldId } of changes) {
    const now = entryOf(mode, id)
    const was = entryOf(oldMode, oldId)
    const own = isOpen ? ([before.get(path) ?? was, now] as const) : left.get(path)
    // What others have changed since belongs to them.
    const back = isSameStart ? own?.[0] : was
    if (own === undefined || back === undefined || own[1] !== now || back === now) continue
    const [oldest, name] = back.split(' ')
    entries.push(
      back === '' ? { path, mode: GONE, id: '0'.repeat(id.length) } : { path, mode: oldest!, id: name! },
    )
  }
  return entries.filter(({ path, mode }) => mode === GONE || !isInTheWay(path))
}

/**
 * Returns a test for a path: whether the change has a folder of that name, or a file named like one of the folders
 * above.
 */
function namesOf(changes: readonly TreeChange[]): (path: string) => boolean {
  const files = new Set<string>()
  const folders = new Set<string>()
  for (const { path, mode } of changes) {
    if (MISSING.test(`${mode} `)) continue
    const [file, ...above] = withFolders(path)
    files.add(file!)
    for (const folder of above) folders.add(folder)
  }
  return (path) =>
    folders.has(path) ||
    withFolders(path)
      .slice(1)
      .some((folder) => files.has(folder))
}
