import { ErrandError } from '../../../contract/errors.ts'
import type { ImageInfo } from '../../docker/docker-engine.ts'
import { volumeLabel } from '../../docker/images.ts'
import {
  addsAddress,
  copiedFrom,
  type Dockerfile,
  expanded,
  FROM_FLAG,
  isRefusedTrigger,
  type NumberedInstruction,
  opensText,
  readArg,
  refusedLine,
  unpacks,
} from './dockerfile.ts'
import { DEFAULT_SHELL, execForm, withoutMounts } from './run-mounts.ts'

/** Replaces each image's name with its id, so that the engine looks up no name at all; removes volumes and mounts. */
export async function pinnedDockerfile(
  file: Dockerfile,
  imageOf: (name: string) => Promise<ImageInfo>,
): Promise<Dockerfile> {
  const variables = new Map<string, string>()
  /** Names of the stages before the present one, and of that one. */
  const stages: string[] = []
  /** Shell of the present stage's RUN; `shells` holds those of the other stages by name. */
  let shell = DEFAULT_SHELL
  const shells = new Map<string, readonly string[]>()
  let present: string | undefined
  let stageCount = 0
  let volumeCount = 0
  const pin = async (instruction: NumberedInstruction): Promise<NumberedInstruction> => {
    check(instruction)
    const { keyword, flags, rest } = instruction
    if (keyword === 'ARG' && stageCount === 0) readArg(rest, variables)
    if (keyword === 'VOLUME') {
      const { label, count } = labelledVolumes(instruction, volumeCount)
      volumeCount = count
      return label
    }
    // ADD would still unpack a renamed file, so this must be a plain copy.
    if (keyword === 'COPY' || keyword === 'ADD')
      return {
        ...instruction,
        keyword: 'COPY',
        flags: await Promise.all(flags.map((flag) => pinnedFlag(instruction, flag))),
      }
    if (keyword === 'SHELL') shell = execForm(rest) ?? shell
    if (keyword === 'RUN') return pinnedRun(instruction, shell)
    if (keyword !== 'FROM') return instruction
    if (present !== undefined) {
      stages.push(present)
      shells.set(present, shell)
    }
    const { image, stage } = readFrom(instruction, variables)
    const isKnown = image === 'scratch' || stages.includes(image.toLowerCase())
    const found = isKnown ? undefined : await imageOf(image)
    const pinned = found?.id ?? image
    shell = found?.shell ?? shells.get(image.toLowerCase()) ?? DEFAULT_SHELL
    stageCount++
    present = stage?.toLowerCase()
    // Every build here is for this machine.
    return { ...instruction, flags: [], rest: stage === undefined ? pinned : `${pinned} AS ${stage}` }
  }
  const pinnedFlag = async ({ line }: NumberedInstruction, flag: string): Promise<string> => {
    if (!flag.startsWith(FROM_FLAG)) return flag
    const from = flag.slice(FROM_FLAG.length)
    if (stages.includes(from.toLowerCase())) return flag
    // The engine takes a name or number that is not an earlier stage for an image: any image, also by its id.
    const isNumber = /^\d+$/.test(from)
    if (isNumber && Number(from) < stageCount - 1) return `${FROM_FLAG}${Number(from)}`
    if (isNumber || from.toLowerCase() === present)
      throw refusedLine(
        line,
        `copies from "${from}", which is not an earlier stage`,
        'Name an earlier stage.',
      )
    return `${FROM_FLAG}${(await imageOf(from)).id}`
  }
  const instructions: NumberedInstruction[] = []
  for (const instruction of file.instructions) instructions.push(await pin(instruction))
  if (stageCount === 0)
    throw new ErrandError('source_refused', 'The Dockerfile has no FROM.', {
      hint: 'Begin it with the image to build on, such as FROM python:3.11-slim.',
    })
  return { ...file, instructions }
}

function pinnedRun(instruction: NumberedInstruction, shell: readonly string[]): NumberedInstruction {
  const run = withoutMounts(instruction, shell)
  if (opensText(run)) throw refusedLine(run.line, ...TEXT)
  return run
}

const TEXT = ['begins a here-document (<<)', 'Put the text into a file, and COPY it.'] as const

function check(instruction: NumberedInstruction): void {
  const { line, keyword, rest } = instruction
  if (addsAddress(instruction))
    throw refusedLine(
      line,
      'adds from a URL, or from a path with ":", "$" or a backslash',
      'Download it in a RUN, or use a plain file name.',
    )
  if (unpacks(instruction))
    throw refusedLine(line, 'adds an archive, which would be unpacked', 'COPY it, and unpack it in a RUN.')
  if (opensText(instruction)) throw refusedLine(line, ...TEXT)
  if (keyword === 'ONBUILD' && isRefusedTrigger(rest))
    throw refusedLine(
      line,
      'has an ONBUILD that is not supported',
      'Remove it: nothing is built on top of a bot.',
    )
  if (copiedFrom(instruction).length > 1) throw refusedLine(line, 'has --from twice', 'Remove one of them.')
}

function readFrom(
  { line, rest }: NumberedInstruction,
  variables: ReadonlyMap<string, string>,
): { image: string; stage?: string } {
  const [name, as, stage, ...more] = rest.split(/[ \t]+/)
  const isPlain = as === undefined || (as.toUpperCase() === 'AS' && /^[a-z][a-z0-9_.-]*$/i.test(stage ?? ''))
  if (name === undefined || name === '' || !isPlain || more.length > 0)
    throw refusedLine(line, 'is not a valid FROM', 'Write it as FROM image or FROM image AS stage.')
  const image = expanded(name, variables)
  if (image !== undefined) return { image, stage }
  throw refusedLine(
    line,
    `has a variable without a value: ${JSON.stringify(name.slice(0, 100))}`,
    'Give it one in an earlier line, such as ARG TAG=3.11-slim. FROM supports ${TAG} and ${TAG:-value}.',
  )
}

/** Matches a text that double quotes leave unchanged, except for variables. */
const PLAIN_PATH = /^[^\p{Cc}"'\\`]+$/u

/** Replaces a VOLUME with a LABEL; `count`: the number of volumes before it in the file. */
function labelledVolumes(
  instruction: NumberedInstruction,
  count: number,
): { label: NumberedInstruction; count: number } {
  const paths = volumePaths(instruction)
  const rest = paths.map((path, index) => `${volumeLabel(count + index + 1)}="${path}"`).join(' ')
  return { label: { ...instruction, keyword: 'LABEL', rest }, count: count + paths.length }
}

function volumePaths({ line, rest }: NumberedInstruction): string[] {
  const paths = rest.startsWith('[') ? listed(rest) : rest.split(/[ \t]+/)
  if (paths.length > 0 && paths.every((path) => typeof path === 'string' && PLAIN_PATH.test(path)))
    return paths as string[]
  throw refusedLine(
    line,
    'has a path that is not plain text',
    'Write it as VOLUME /data /more, or as VOLUME ["/data"].',
  )
}

function listed(rest: string): unknown[] {
  try {
    const list: unknown = JSON.parse(rest)
    return Array.isArray(list) ? list : []
  } catch {
    return []
  }
}
