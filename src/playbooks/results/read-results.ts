import { MAX_RESULT_BYTES, type ReadResults, ResultFault, type Tally } from './figures.ts'
import { JunitReader } from './junit.ts'
import { TapReader } from './tap.ts'

type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>

interface Reader {
  write(text: string): void
  end(): Tally
  notes?: readonly string[]
}

/**
 * Reads the results of tests, JUnit XML or TAP, from a file or a command's output. `name` is the suite's name if the
 * results give none. Throws only what reading the chunks throws: unusable results are a `fault`, which says why. Reads
 * at most 20 MiB and 100,000 tests; a part of the results never counts as the whole.
 */
export async function readResults(chunks: Chunks, name: string): Promise<ReadResults> {
  try {
    return await read(chunks, name)
  } catch (error) {
    if (error instanceof ResultFault) return { fault: `${name}: ${error.message}` }
    throw error
  }
}

async function read(chunks: Chunks, name: string): Promise<ReadResults> {
  let reader: Reader | undefined
  for await (const text of texts(chunks)) {
    if (reader) {
      reader.write(text)
      continue
    }
    // Blank lines may come first.
    const begun = text.trimStart()
    if (begun === '') continue
    reader = begun.startsWith('<') ? new JunitReader(name) : new TapReader(name)
    reader.write(begun)
  }
  if (!reader) throw new ResultFault('It is empty.')
  const tally = reader.end()
  return { figures: tally.figures(), notes: [...(reader.notes ?? [])] }
}

/** Number of bytes that show the encoding of the rest. */
const HEAD_BYTES = 200

async function* texts(chunks: Chunks): AsyncGenerator<string> {
  let head: Buffer | undefined = Buffer.alloc(0)
  let decoder = new TextDecoder()
  let bytes = 0
  for await (const chunk of chunks) {
    bytes += chunk.length
    if (bytes > MAX_RESULT_BYTES) throw new ResultFault('It is larger than 20 MiB.')
    if (head === undefined) {
      yield decoder.decode(chunk, { stream: true })
      continue
    }
    head = Buffer.concat([head, chunk])
    if (head.length < HEAD_BYTES) continue
    decoder = new TextDecoder(encodingOf(head))
    yield decoder.decode(head, { stream: true })
    head = undefined
  }
  yield head === undefined ? decoder.decode() : new TextDecoder(encodingOf(head)).decode(head)
}

/** Detects the encoding by the first bytes, or by the XML declaration; the default is UTF-8. */
function encodingOf(head: Buffer): string {
  if (head[0] === 0xff && head[1] === 0xfe) return 'utf-16le'
  if (head[0] === 0xfe && head[1] === 0xff) return 'utf-16be'
  const declared = /^<\?xml\s[^>]*?encoding=["']([\w.:-]{1,40})["']/.exec(
    head.toString('latin1', 0, HEAD_BYTES),
  )?.[1]
  // A declaration that can be read byte by byte is not in UTF-16.
  if (declared === undefined || /^(utf|ucs)-?(16|2)/i.test(declared)) return 'utf-8'
  try {
    return new TextDecoder(declared).encoding
  } catch {
    return 'utf-8'
  }
}
