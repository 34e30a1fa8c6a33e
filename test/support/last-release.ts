import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after } from 'node:test'

/**
 * The commit of the last release. Hubs and runners of neighbouring releases work together, and each release continues
 * with the data of the last one.
 */
const LAST_RELEASE = '1e0599a690d6e0afdeac78a79abe1a40e6ea8937'

/** A commit from before boxes. Its hub cannot continue with the data of this release, nor the other way round. */
export const BEFORE_BOXES = 'd1e9d5c55c4299349650663707a644167eb2ba2a'

const root = join(import.meta.dirname, '../..')

/**
 * Unpacks the sources of the last release, or of another commit, for the tests of one file. `skip` says why they are not
 * available, or is false. `within` holds words to put before a command of this release so that the other one runs it.
 */
export function lastRelease(commit = LAST_RELEASE): { skip: string | false; within: readonly string[] } {
  const folder = mkdtempSync(join(tmpdir(), 'errand-last-release-'))
  after(() => rmSync(folder, { recursive: true, force: true }))
  const within = ['/bin/sh', '-c', `shift; exec "${join(folder, 'bin/errand')}" "$@"`, 'errand']
  try {
    const tree = join(folder, 'tree.tar')
    const args = ['archive', '--output', tree, commit, 'bin', 'src', 'package.json']
    execFileSync('git', ['-C', root, ...args], { stdio: 'pipe' })
    execFileSync('tar', ['-xf', tree, '-C', folder])
  } catch (error) {
    const [first] = String((error as Error).message).split('\n')
    return { skip: `the history without ${commit}, or no git: ${first}`, within }
  }
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return { skip: false, within }
}
