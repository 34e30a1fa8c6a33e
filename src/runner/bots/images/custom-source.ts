import { createReadStream } from 'node:fs'
import { readFile, realpath, stat, writeFile } from 'node:fs/promises'
import { basename, join, relative, sep } from 'node:path'
import type { BotSource } from '../../../contract/bots/bot.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { dockerLabels } from '../../docker/own-labels.ts'
import { entryPath } from '../../sources/archive-entries.ts'
import { clone } from '../../sources/clone.ts'
import { folderEntries, SkippedPaths } from '../../sources/folder-entries.ts'
import { unpack } from '../../sources/unpack.ts'
import type { BuildFolder } from './build-image.ts'
import { type Dockerfile, dockerfileText, parseDockerfile } from './dockerfile.ts'
import type { ImageOrder } from './image-order.ts'
import { baseImage, type ImageSupply } from './image-supply.ts'
import { pinnedDockerfile } from './pinned-dockerfile.ts'

export type CustomSource = Extract<BotSource, { mode: 'archive' | 'git' }>

const DOCKERFILE_BYTES = 1024 * 1024

/**
 * Unpacks or clones the source into `folder`, which must not exist; `password` is for its Git server. Returns its name
 * for people.
 */
export async function fetchCustom(
  source: CustomSource,
  folder: string,
  order: ImageOrder,
  { settings, progress, signal }: ImageSupply,
  password?: string,
): Promise<string> {
  if (source.mode === 'archive') {
    await unpack(createReadStream(await order.upload(source.upload, signal)), folder, { signal })
    return `archive ${source.upload.slice(0, 12)}`
  }
  const { url, ref } = source
  const { gitServers: allow, caFile } = settings
  const auth = password === undefined ? {} : { auth: { username: source.git_auth?.username, password } }
  const commit = await clone({ url, ref, ...auth }, folder, { allow, caFile, progress, signal })
  return `${url}@${commit.slice(0, 12)}`
}

/** Replaces the Dockerfile with one whose images are resolved and that obeys the rules. */
export async function pinCustom(
  folder: string,
  named: string,
  order: ImageOrder,
  supply: ImageSupply,
): Promise<BuildFolder> {
  const { file, dockerfile, bytes } = await dockerfileAt(folder, entryPath(named))
  const pinned = await pinnedDockerfile(parseDockerfile(await dockerfileIn(file, bytes)), (name) =>
    baseImage(name, supply),
  )
  await writeFile(file, dockerfileText(labelledStages(pinned, order.labels.runner)))
  return { folder, dockerfile, keep: [] }
}

/** Returns the real path of the Dockerfile: it may be a link, or behind one, and its content is rewritten. */
async function dockerfileAt(folder: string, named: string) {
  const top = await realpath(folder)
  const file = await realpath(join(top, named)).catch(() => top)
  const found = await stat(file)
  if (!file.startsWith(top + sep) || !found.isFile()) throw await missing(folder, named)
  return { file, dockerfile: relative(top, file), bytes: found.size }
}

/**
 * Adds labels to each stage: only the last one gets the labels of the build, and nothing would identify the image of
 * another. They are at its beginning, for leftovers of a crash, and at its end, since the stage may have overwritten
 * them.
 */
function labelledStages(file: Dockerfile, runner: string): Dockerfile {
  const first = file.instructions.findIndex(({ keyword }) => keyword === 'FROM')
  const last = file.instructions.findLastIndex(({ keyword }) => keyword === 'FROM')
  const labels = Object.entries(dockerLabels({ runner }))
  const rest = labels.map(([name, value]) => `${name}=${JSON.stringify(value)}`).join(' ')
  const instructions = file.instructions.flatMap((instruction, index) => {
    if (instruction.keyword !== 'FROM') return [instruction]
    const label = { ...instruction, keyword: 'LABEL', flags: [], rest }
    return [...(index === first ? [] : [label]), instruction, ...(index === last ? [] : [label])]
  })
  return { ...file, instructions }
}

async function dockerfileIn(file: string, bytes: number): Promise<string> {
  const refused = (why: string) =>
    new ErrandError('source_refused', `The Dockerfile ${why}.`, { hint: 'Save it as plain text.' })
  if (bytes > DOCKERFILE_BYTES) throw refused(`has more than ${DOCKERFILE_BYTES} bytes`)
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
  } catch {
    throw refused('is not UTF-8')
  }
}

async function missing(folder: string, dockerfile: string): Promise<ErrandError> {
  const entries = await folderEntries(folder, new SkippedPaths(''))
  const others = entries.filter(
    ({ path, kind }) => kind === 'file' && /^Dockerfile|\.Dockerfile$/.test(basename(path)),
  )
  const hint =
    others.length === 0
      ? 'Put a Dockerfile into the top folder, or use the simple mode, which needs none.'
      : `Found: ${others
          .slice(0, 5)
          .map(({ path }) => path)
          .join(', ')}. Pack its folder, or set "dockerfile".`
  return new ErrandError('source_refused', `There is no file ${JSON.stringify(dockerfile)} to build from.`, {
    hint,
  })
}
