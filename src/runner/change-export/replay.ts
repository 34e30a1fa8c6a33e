import { buffer } from 'node:stream/consumers'
import { GitFailure } from '../git/git-program.ts'
import { StepFailure } from '../platform-steps/platform-step.ts'
import { commitObject, storeCommits } from './commits.ts'
import type { OurRepository } from './our-repository.ts'

/** Describes commits of ours, and their new base. */
export interface ReplayAsk {
  /** Commit that they are based on. */
  start: string
  tip: string
  onto: string
  /** Method; `merge` leaves them unchanged, and adds a commit with two parents. */
  how: 'rebase' | 'merge'
  /** Message of the commit with two parents. */
  message: string
  /** Folder for temporary files. */
  scratch: string
}

export type Replayed =
  /** Success; `tip` is `onto` if that had all of the change already. */
  | { type: 'done'; tip: string }
  /** Conflict: `tree` has both sides of each file between markers; `commit` is the one that could not be applied. */
  | { type: 'conflict'; tree: string; files: readonly string[]; says: readonly string[] }

/** Limit for commits; more are applied as one. */
const MAX_COMMITS = 100

/**
 * Applies commits of ours on top of another one. Git merges only objects: no file of a checkout, no setting, hook,
 * filter or merge driver takes part, so this needs no box. The same commits always give the same result.
 */
export async function replay(repository: OurRepository, ask: ReplayAsk): Promise<Replayed> {
  return await new Replay(repository, ask).run()
}

class Replay {
  readonly #repository: OurRepository
  readonly #ask: ReplayAsk
  readonly #algorithm: 'sha1' | 'sha256'

  constructor(repository: OurRepository, ask: ReplayAsk) {
    this.#repository = repository
    this.#ask = ask
    this.#algorithm = ask.tip.length === 64 ? 'sha256' : 'sha1'
  }

  async run(): Promise<Replayed> {
    const { how, onto } = this.#ask
    let onTop = onto
    for (const { base, commit } of how === 'merge' ? [this.#whole()] : await this.#parts()) {
      const merged = await this.#merge(base, onTop, commit)
      if (merged.files.length > 0) return { type: 'conflict', ...merged }
      const unchanged = merged.tree === (await this.#treeOf(onTop))
      if (how === 'merge') return { type: 'done', tip: await this.#join(merged.tree) }
      if (!unchanged) onTop = await this.#again(commit, merged.tree, onTop)
    }
    return { type: 'done', tip: onTop }
  }

  #whole() {
    const { start, tip } = this.#ask
    return { base: start, commit: tip }
  }

  /** Returns each commit with its parent; a history that is not linear counts as one. */
  async #parts(): Promise<{ base: string; commit: string }[]> {
    const { start, tip } = this.#ask
    const output = await this.#repository.text(['rev-list', '--reverse', '--parents', `${start}..${tip}`])
    const lines = output === '' ? [] : output.split('\n').map((line) => line.split(' '))
    if (lines.length > MAX_COMMITS || lines.some(({ length }) => length !== 2)) return [this.#whole()]
    return lines.map(([commit, base]) => ({ base: base!, commit: commit! }))
  }

  async #treeOf(commit: string): Promise<string> {
    return await this.#repository.text(['rev-parse', '--verify', `${commit}^{tree}`])
  }

  /**
   * Applies the change from `base` to `theirs` to `ours`. Git finds a base only through parents, so each side gets one.
   */
  async #merge(base: string, ours: string, theirs: string) {
    const [baseTree, ourTree, theirTree] = await Promise.all(
      [base, ours, theirs].map((id) => this.#treeOf(id)),
    )
    const below = this.#bare(baseTree!)
    const sides = [this.#bare(ourTree!, below.id), this.#bare(theirTree!, below.id)] as const
    await storeCommits(this.#repository, [below, ...sides], this.#ask.scratch)
    let message = ''
    try {
      const args = ['merge-tree', '--write-tree', '-z', '--name-only', '--allow-unrelated-histories']
      await this.#repository.read([...args, sides[0].id, sides[1].id], async (output) => {
        message = (await buffer(output)).toString()
      })
    } catch (error) {
      // 1 means that there are conflicts.
      if (!(error instanceof GitFailure) || error.end !== 1) throw tooOld(error)
    }
    return readMergeTree(message)
  }

  #bare(tree: string, parent?: string) {
    const who = 'Errand <errand@localhost> 0 +0000'
    const parents = parent === undefined ? '' : `parent ${parent}\n`
    return commitObject(`tree ${tree}\n${parents}author ${who}\ncommitter ${who}\n\n\n`, this.#algorithm)
  }

  /** Recreates the commit with its people, dates and message, for another tree and parent. */
  async #again(commit: string, tree: string, parent: string): Promise<string> {
    const { people, message } = await this.#read(commit)
    return await this.#store(`tree ${tree}\nparent ${parent}\n${people}\n\n${message}`)
  }

  async #join(tree: string): Promise<string> {
    const { tip, onto, message } = this.#ask
    const { people } = await this.#read(tip)
    const text = Buffer.from(`${message}\n`).toString('latin1')
    return await this.#store(`tree ${tree}\nparent ${tip}\nparent ${onto}\n${people}\n\n${text}`)
  }

  async #read(commit: string): Promise<{ people: string; message: string }> {
    const text = (await this.#repository.bytes(['cat-file', 'commit', commit])).toString('latin1')
    const end = text.indexOf('\n\n')
    const lines = text.slice(0, end).split('\n')
    const people = lines.filter((line) => /^(?:author|committer|encoding) /.test(line)).join('\n')
    return { people, message: text.slice(end + 2) }
  }

  async #store(body: string): Promise<string> {
    const made = commitObject(body, this.#algorithm)
    await storeCommits(this.#repository, [made], this.#ask.scratch)
    return made.id
  }
}

/**
 * Parses the output of `merge-tree -z --name-only`: the tree, the files with conflicts up to an empty one, then
 * messages.
 */
function readMergeTree(output: string): { tree: string; files: string[]; says: string[] } {
  const [tree = '', ...rest] = output.split('\0')
  if (!/^[0-9a-f]{40}([0-9a-f]{24})?$/.test(tree))
    throw new Error(`Git printed something unexpected: ${JSON.stringify(output.slice(0, 200))}.`)
  const end = rest.indexOf('')
  const files = [...new Set(end === -1 ? [] : rest.slice(0, end))]
  return { tree, files, says: end === -1 ? [] : wordsOf(rest.slice(end + 1)) }
}

/** Parses records: a number of paths, these paths, a kind, and the message. */
function wordsOf(records: readonly string[]): string[] {
  const words: string[] = []
  for (let at = 0; at < records.length; ) {
    const paths = Number(records[at])
    if (!Number.isInteger(paths) || records[at] === '') break
    const text = records[at + paths + 2]
    if (text?.startsWith('CONFLICT')) words.push(text.trim())
    at += paths + 3
  }
  return words
}

function tooOld(error: unknown): unknown {
  if (!(error instanceof GitFailure) || error.end !== 129) return error
  return new StepFailure(
    'workspace',
    "This runner's Git is too old to combine the change with the commits that others have pushed.",
    'Install Git 2.38 or newer on the runner, or try the task again.',
  )
}
