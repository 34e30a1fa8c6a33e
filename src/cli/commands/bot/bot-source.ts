import { readFileSync, statSync } from 'node:fs'
import { dirname, relative, resolve, sep } from 'node:path'
import type { ErrandClient } from '../../../client/client.ts'
import type { UpdateBotInput } from '../../../contract/bots/bot-api.ts'
import { UsageError } from '../../command.ts'
import { askSecret } from '../../secret-values.ts'
import type { BotRequestValues } from './bot-request.ts'

/** Reads source files, and names them by their paths below their common folder. */
export function simpleSource(values: BotRequestValues, more: readonly string[]): UpdateBotInput {
  const paths = [values.simple!, ...more]
  const base = commonFolder(paths.map((path) => resolve(path)))
  const nameOf = (path: string) => relative(base, resolve(path)).split(sep).join('/')
  const files: Record<string, string> = {}
  for (const path of paths) files[nameOf(path)] = sourceText(path)
  // The entrypoint is written as one of the files was typed, or as the file is called in the bot.
  const typed = paths.find((path) => resolve(path) === resolve(values.entrypoint ?? paths[0]!))
  const entrypoint =
    values.entrypoint === undefined || typed !== undefined ? nameOf(typed!) : values.entrypoint
  return {
    deployment_mode: 'simple',
    files,
    entrypoint,
    requirements: values.requirement?.flatMap(requirement),
    base_image: values['base-image'],
  }
}

/** Replaces `@requirements.txt` by the lines of that file. */
const requirement = (text: string): string[] =>
  text.startsWith('@')
    ? sourceText(text.slice(1))
        .split(/\r?\n/)
        .map((line) => line.trim())
        .filter((line) => line !== '' && !line.startsWith('#'))
    : [text]

function commonFolder(paths: readonly string[]): string {
  let folder = dirname(paths[0]!)
  while (!paths.every((path) => path.startsWith(folder === sep ? sep : folder + sep)))
    folder = dirname(folder)
  return folder
}

function sourceText(path: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
      throw new UsageError(`${path} is not UTF-8 text`, 'for a bot with other files, use --custom FOLDER')
    throw new UsageError(`${path} cannot be read: ${(error as Error).message}`, 'name a source file')
  }
}

/** Returns the source for a Git URL, an archive or a folder. Packs a folder, and uploads it or the archive. */
export async function customSource(
  client: ErrandClient,
  values: BotRequestValues,
  custom: string,
): Promise<UpdateBotInput> {
  const { ref, dockerfile } = values
  if (/^[a-z+]+:\/\//i.test(custom)) {
    const git_auth = await gitAuth(values)
    return { deployment_mode: 'custom', git_url: custom, git_ref: ref, git_auth, dockerfile }
  }
  const stray = (['ref', 'git-token', 'git-secret', 'username', 'password-stdin'] as const).find(
    (option) => values[option] !== undefined,
  )
  if (stray !== undefined)
    throw new UsageError(`--${stray} works only with a Git URL`, 'write --custom https://...')
  const found = statSync(custom, { throwIfNoEntry: false })
  if (found === undefined)
    throw new UsageError(`folder or archive ${custom} not found`, 'write a Git repository as https://...')
  const { upload } = await client.bots.upload(
    found.isFile() ? readFileSync(custom) : await packed(custom, dockerfile),
  )
  return { deployment_mode: 'custom', upload, dockerfile }
}

/** Returns the credentials for a Git URL, if any; asks for the token unless a secret of the hub holds it. */
async function gitAuth(values: BotRequestValues): Promise<UpdateBotInput['git_auth']> {
  const { username, 'git-token': token, 'git-secret': secret, 'password-stdin': stdin } = values
  if (secret !== undefined && (token || stdin))
    throw new UsageError(
      `--git-secret and --${token ? 'git-token' : 'password-stdin'} both give a token`,
      'leave one out',
    )
  if (secret !== undefined) return { username, secret }
  if (!token && username === undefined) {
    if (stdin) throw new UsageError('--password-stdin needs --git-token', 'give both')
    return undefined
  }
  const password = await askSecret(username === undefined ? 'Token' : `Token of ${username}`, stdin ?? false)
  if (password === '') throw new UsageError('the token is empty', 'leave it out for a public repository')
  return { username, password }
}

async function packed(folder: string, dockerfile = 'Dockerfile'): Promise<Uint8Array> {
  const { pack } = await import('../../../runner/sources/pack.ts')
  return (await pack(folder, { keep: [dockerfile] })).archive
}

/** Returns the source for an image; asks for the password if there is a user name. */
export async function imageSource(values: BotRequestValues): Promise<UpdateBotInput> {
  const { username } = values
  const source = { deployment_mode: 'image', docker_image: values.image }
  if (username === undefined) {
    if (values['password-stdin']) throw new UsageError('--password-stdin needs --username', 'give both')
    return source
  }
  const password = await askSecret(`Password of ${username}`, values['password-stdin'] ?? false)
  if (password === '')
    throw new UsageError('the password is empty', 'leave out --username for a public image')
  return { ...source, registry_auth: { username, password } }
}
