import { type Instruction, instructionOf } from './dockerfile.ts'

/** The images or stages that it copies from. */
export const copiedFrom = ({ flags }: Instruction): string[] =>
  flags.filter((flag) => flag.startsWith(FROM_FLAG)).map((flag) => flag.slice(FROM_FLAG.length))

export const FROM_FLAG = '--from='

/**
 * Whether it adds, or could add, something from an address: the engine itself would fetch it, past all that holds a
 * build. An address needs a colon, and nothing in a plain path can come to mean one.
 */
export const addsAddress = ({ keyword, rest }: Instruction): boolean =>
  keyword === 'ADD' && /[:$\\`]/.test(rest)

/** Whether it adds what the engine itself would unpack: a little becomes much then, past all that holds a build. */
export const unpacks = ({ keyword, rest }: Instruction): boolean =>
  keyword === 'ADD' && /\.(?:tar|tgz|tbz2?|txz|t?gz|bz2|xz|zst)(?=["',\s]|$)/i.test(rest)

/**
 * Whether a newer engine would take the lines that follow for a text (<<EOF), and so for other instructions than are read
 * here. It fills in ${…} before it looks.
 */
export const opensText = ({ keyword, rest }: Instruction): boolean =>
  ['ADD', 'COPY', 'RUN', 'ONBUILD'].includes(keyword) && /(?:^|[\s}])\d*<<(?!<)|<(?:\}|\$\{)/.test(rest)

/**
 * Whether the text after ONBUILD is refused: in the build that carries it out nobody looks at it again. One of an image may
 * have several lines, which the engine would join.
 */
export function isRefusedTrigger(text: string): boolean {
  const instruction = instructionOf(text)
  return (
    instruction === undefined ||
    /[^\P{Cc}\t]/u.test(text) ||
    ['FROM', 'ONBUILD', 'ADD', 'VOLUME'].includes(instruction.keyword) ||
    opensText(instruction) ||
    (instruction.keyword === 'RUN' && instruction.flags.length > 0) ||
    copiedFrom(instruction).length > 0
  )
}
