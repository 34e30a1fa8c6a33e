import { copyFileSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type GitOptions, git } from '../git/git-program.ts'

/**
 * Copies the edge of a shallow repository: the commits whose parents it lacks, which Git lists in the file `shallow`. A
 * repository that borrows its objects lacks the same, and has to list them itself.
 */
export function copyEdge(from: string, to: string): void {
  const [edge, copy] = [join(from, 'shallow'), join(to, 'shallow')]
  if (statSync(edge, { throwIfNoEntry: false })) copyFileSync(edge, copy)
  else rmSync(copy, { force: true })
}

/** Returns the commits at the edge of that repository; none if it is complete. */
export function edgeOf(repository: string): ReadonlySet<string> {
  try {
    const lines = readFileSync(join(repository, 'shallow'), 'utf8').split('\n')
    return new Set(lines.filter((line) => line !== ''))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return new Set()
    throw error
  }
}

/**
 * Reports whether the edge cuts into the commits that two commits do not share: then their common ancestor is unknown,
 * and no rebase or merge of them would be right.
 */
export async function isCutBetween(
  [one, other]: readonly [string, string],
  options: GitOptions,
): Promise<boolean> {
  const edge = edgeOf(options.folder)
  if (edge.size === 0) return false
  const output = await git(['rev-list', `${one}...${other}`], options, text)
  return output.split('\n').some((commit) => edge.has(commit))
}
