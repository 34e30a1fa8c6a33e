import { mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { StepFailure } from '../platform-steps/platform-step.ts'
import { MAX_FILE_BYTES } from './git-push.ts'
import { named } from './judge-change.ts'
import { OurRepository } from './our-repository.ts'
import { replay } from './replay.ts'

/** Describes branches of a repository, all of whose commits ours can borrow. */
export interface Joining {
  own_git: string
  /** Commit that the others are joined with. */
  start: string
  others: readonly { branch: string; sha: string }[]
  /** Folder for temporary files. */
  folder: string
  signal: AbortSignal
}

/**
 * Joins the commits of several branches with merges of our own, as a pack in our repository; returns the last one,
 * which is always the same. Throws `StepFailure`: `conflict` with the branch and each file.
 */
export async function joinTips({ own_git, start, others, folder, signal }: Joining): Promise<string> {
  const repository = new OurRepository({ folder: own_git, signal, maxFileBytes: MAX_FILE_BYTES })
  const scratch = mkdtempSync(join(folder, 'join-'))
  try {
    let tip = start
    for (const { branch, sha } of others) {
      if (await repository.holds(['merge-base', '--is-ancestor', sha, tip])) continue
      const base = await repository.text(['merge-base', sha, tip]).catch(() => undefined)
      if (base === undefined)
        throw new StepFailure(
          'conflict',
          `The branch ${JSON.stringify(branch)} has no commit in common with the others.`,
        )
      const ask = { start: base, tip, onto: sha, how: 'merge' as const, message: `Merge branch '${branch}'` }
      const joined = await replay(repository, { ...ask, scratch: join(scratch, 'commits') })
      if (joined.type === 'conflict')
        throw new StepFailure(
          'conflict',
          `The branches that this task starts from conflict: ${JSON.stringify(branch)} conflicts in ${named(joined.files)}.`,
          'Merge one of them first, or write base: merged.',
        )
      tip = joined.tip
    }
    if (tip !== start) {
      // A workspace accepts only packs.
      const pack = join(scratch, 'pack')
      const below = [start, ...others.map(({ sha }) => sha)].map((id) => `^${id}\n`).join('')
      const args = ['pack-objects', '--revs', '--thin', '--stdout', '-q']
      await repository.toFile(args, pack, `${tip}\n${below}`)
      await repository.takePack(pack, MAX_FILE_BYTES)
    }
    return tip
  } finally {
    rmSync(scratch, { recursive: true, force: true })
  }
}
