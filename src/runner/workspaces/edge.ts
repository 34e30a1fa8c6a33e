import { copyFileSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { type GitOptions, git } from '../git/git-program.ts'

/**
 * The edge of a repository that has not all commits: those whose parents it lacks, which git keeps in the file `shallow`. Who borrows
 * its objects lacks the same, and has to say so itself.
 */
export function copyEdge(from: string, to: string): void {
  const [edge, copy] = [join(from, 'shallow'), join(to, 'shallow')]
  if (statSync(edge, { throwIfNoEntry: false })) copyFileSync(edge, copy)
  else rmSync(copy, { force: true })
}

/** The commits at the edge of that repository; none where it has all. */
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
 * Whether the edge cuts off something of what two commits do not have in common: where they part is not known then, and no rebase or
 * merge of them would be right.
 */
export async function isCutBetween(
  [one, other]: readonly [string, string],
  options: GitOptions,
): Promise<boolean> {
  const edge = edgeOf(options.folder)
  if (edge.size === 0) return false
  const said = await git(['rev-list', `${one}...${other}`], options, text)
  return said.split('\n').some((commit) => edge.has(commit))
}
