import { findRef } from '../git/advertisement.ts'
import { checkGitRef, isCommitId } from '../git/git-url.ts'
import { GitRefused, hintOf } from '../git/git-words.ts'
import type { Remote } from '../git/remote.ts'

/** Throws `GitRefused` for an invalid name of a branch, tag or commit. */
export function checkRef(ref: string): void {
  try {
    checkGitRef(ref)
  } catch (error) {
    const { message, hint } = error as GitRefused
    throw new GitRefused('base_missing', message, { hint, cause: error })
  }
}

/** Resolves a ref from a person to its commit and branch. Throws `GitRefused`. */
export function baseOf(
  { advertisement, identity }: Remote,
  ref: string | undefined,
): { name: string; sha: string; branch?: string } {
  const found = findRef(advertisement, ref)
  if (found) {
    const name = found.name.replace(/^refs\/(heads|tags)\//, '')
    // The name comes from the server and becomes a file name.
    checkRef(name)
    return found.name.startsWith('refs/heads/')
      ? { name, sha: found.sha, branch: name }
      : { name, sha: found.sha }
  }
  if (ref !== undefined && isCommitId(ref)) return { name: ref.toLowerCase(), sha: ref.toLowerCase() }
  if (ref === undefined)
    throw new GitRefused('base_missing', `${identity} has no commits yet.`, {
      hint: 'Push a first commit to the branch that the repository should start with.',
    })
  const { defaultBranch } = advertisement
  throw new GitRefused('base_missing', `${identity} has no branch or tag "${ref}".`, {
    hint: defaultBranch ? `Its default branch is "${defaultBranch}".` : hintOf('base_missing'),
  })
}

/** Converts refs to what a clone would show: branches as those of origin. */
export const asOrigin = (refs: ReadonlyMap<string, string>): Map<string, string> =>
  new Map([...refs].map(([name, sha]) => [name.replace(/^refs\/heads\//, 'refs/remotes/origin/'), sha]))

/** Converts the refs of a repository that was just asked, and adds the branch that its clones begin with. */
export function seenRefs(refs: ReadonlyMap<string, string>, { advertisement }: Remote): Map<string, string> {
  const seen = asOrigin(refs)
  const head = advertisement.defaultBranch && refs.get(`refs/heads/${advertisement.defaultBranch}`)
  return new Map([...seen, ...(head ? [['refs/remotes/origin/HEAD', head] as const] : [])])
}
