import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { run } from '../../test/support/sources/git-fixture.ts'
import { lease, poolPlace } from '../../test/support/workspaces/pool-fixture.ts'
import { median, type Row, runProgram, timed } from '../measure.ts'

const ROUNDS = Number(process.env.R ?? 10)
const COMMITS = 2_500
const FILES = 600
const LEAST_RATIO = 10

/**
 * Measures a checkout of a repository that was seen before, with a request to the server each time, beside a fresh
 * clone. Both use real HTTP on loopback, so that the network does not slow the clone down.
 */
export async function workspaces(): Promise<Row[]> {
  const place = await poolPlace()
  try {
    const { url, folder } = place.repository()
    addHistory(folder)
    const pool = place.pool()
    await lease(pool, 'run_first', { repo: url })
    await pool.release('run_first')
    const fresh: number[] = []
    const used: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const target = join(place.dir, 'clone')
      fresh.push(await runProgram('git', ['clone', '--quiet', url, target]))
      rmSync(target, { recursive: true })
      await pool.settled()
      used.push(await timed(() => lease(pool, `run_${round}`, { repo: url, branch: `errand/${round}` })))
      const { work } = pool.of(`run_${round}`)!
      execFileSync('/bin/sh', ['-c', 'rm -r d1 d2; for f in d3/*; do echo changed >> $f; done'], {
        cwd: work,
      })
      await pool.release(`run_${round}`)
    }
    await pool.close()
    const value = median(used)
    const clone = median(fresh)
    return [
      {
        name: `a used checkout of ${COMMITS} commits`,
        unit: 'ms',
        value,
        baseline: { what: 'git clone', value: clone },
        budget: { what: `git clone takes >= ${LEAST_RATIO} x as long`, holds: clone >= LEAST_RATIO * value },
        details: { ratio: clone / value },
      },
    ]
  } finally {
    await place.close()
  }
}

function addHistory(folder: string): void {
  const lines: string[] = []
  let seed = 1
  const word = () => {
    seed = (seed * 48_271) % 2_147_483_647
    return seed.toString(36)
  }
  for (let commit = 0; commit < COMMITS; commit++) {
    lines.push(`commit refs/heads/main\ncommitter A <a@example.org> ${commit + 10} +0000\ndata 1\nm`)
    if (commit === 0) lines.push('from refs/heads/main^0')
    const changed =
      commit === 0 ? Array.from({ length: FILES }, (_, n) => n) : [commit % FILES, (commit * 7) % FILES]
    for (const file of new Set(changed)) {
      const content = `${Array.from({ length: 400 }, word).join('\n')}\n`
      lines.push(`M 100644 inline d${file % 20}/f${file}\ndata ${content.length}\n${content}`)
    }
    lines.push('')
  }
  run(folder, ['fast-import', '--quiet'], lines.join('\n'))
  run(folder, ['repack', '-adq'])
}
