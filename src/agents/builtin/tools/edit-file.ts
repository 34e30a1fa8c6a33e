import * as z from 'zod'
import { writeFileAtomic } from '../../../platform/atomic-file.ts'
import { fileChange } from './file-change.ts'
import { readText } from './text-file.ts'
import { defineTool, ToolError } from './tool.ts'

const Args = z.object({
  path: z.string().min(1),
  old_text: z
    .string()
    .min(1)
    .describe('Exactly as it stands in the file, with enough around it to be there only once'),
  new_text: z.string(),
})

export const editFile = defineTool({
  name: 'edit_file',
  kind: 'edit',
  description: 'Replaces one piece of a text file by another.',
  args: Args,
  title: ({ path }) => `Edit ${path}`,
  paths: ({ path }) => [path],
  async run({ path, old_text, new_text }, { paths }) {
    const real = paths[0]!
    const read = await readText(real)
    if (read.type !== 'text')
      throw new ToolError(
        `${path} is ${read.type.replace('_', ' ')} (${read.bytes} bytes) and cannot be edited.`,
      )
    const after = replaceOnce(path, read.text, old_text, new_text)
    writeFileAtomic(real, after, { mode: read.mode & 0o7777, durable: false })
    return { output: `Edited ${path}.`, diffs: [fileChange(real, read.text, after)] }
  },
})

function replaceOnce(path: string, text: string, old: string, replacement: string): string {
  if (old === replacement) throw new ToolError('old_text and new_text are the same.')
  const parts = text.split(old)
  if (parts.length === 2) return parts.join(replacement)
  if (parts.length > 2)
    throw new ToolError(
      `old_text stands ${parts.length - 1} times in ${path}. Give more of what is around it.`,
    )
  // Models write \n where the file has \r\n.
  const [crlf, crlfReplacement] = [old, replacement].map((each) => each.replace(/\r?\n/g, '\r\n'))
  if (crlf !== old && text.includes(crlf!)) return replaceOnce(path, text, crlf!, crlfReplacement!)
  throw new ToolError(`old_text is not in ${path}. Read the file again; blanks and line ends count, too.`)
}
