import { text } from 'node:stream/consumers'
import { ErrandError } from '../../contract/errors.ts'
import { type GitOptions, git } from './git-command.ts'

/** Knows http.curloptResolve: an older one would look names up itself. */
const LEAST = [2, 37] as const

/** Throws `source_refused` where this machine has no Git that can be held to the addresses that were checked. */
export async function checkGitVersion(options: GitOptions): Promise<void> {
  const said = await git(['--version'], options, text).catch((cause: Error) => {
    options.signal.throwIfAborted()
    throw refused('The runner has no Git', cause)
  })
  const [major, minor] = /(\d+)\.(\d+)/.exec(said)?.slice(1).map(Number) ?? []
  if (major === undefined || minor === undefined)
    throw refused(`The runner's Git says ${JSON.stringify(said)}`)
  if (major < LEAST[0] || (major === LEAST[0] && minor < LEAST[1]))
    throw refused(`The runner's Git is too old: ${major}.${minor}`)
}

const refused = (what: string, cause?: unknown) =>
  new ErrandError('source_refused', `${what}.`, {
    hint: `Install Git ${LEAST.join('.')} or newer on the runner, or send the code as an archive.`,
    cause,
  })
