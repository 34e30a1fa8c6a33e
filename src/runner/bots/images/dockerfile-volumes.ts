import { volumeLabel } from '../../containers/docker/image-volumes.ts'
import { type NumberedInstruction, refusedLine } from './dockerfile.ts'

/** A text that stands between double quotes as it is, but for variables. */
const PLAIN_PATH = /^[^\p{Cc}"'\\`]+$/u

/** A LABEL in the place of a VOLUME; `count`: how many volumes the file has before it. */
export function labelledVolumes(
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
    'has a path that is not written plainly',
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
