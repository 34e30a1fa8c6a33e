import assert from 'node:assert/strict'
import { test } from 'node:test'
import { dockerfileText, isRefusedTrigger, parseDockerfile } from './dockerfile.ts'
import { pinnedDockerfile } from './pinned-dockerfile.ts'

/** Returns the text for the engine, and the images that were requested. */
async function pinned(text: string): Promise<{ text: string; requests: string[] }> {
  const requests: string[] = []
  const file = await pinnedDockerfile(parseDockerfile(text), async (name) => {
    requests.push(name)
    return { id: `sha256:${name}`, names: [], digests: [], labels: {}, sizeBytes: 0, createdAt: '' }
  })
  return { text: dockerfileText(file), requests }
}

test('every image is replaced by its id, even with defaults, stages and joined lines', async () => {
  const { text, requests } = await pinned(`# syntax=docker/dockerfile:1
ARG VERSION=3.11 FLAVOUR="slim"
ARG BASE=python:\${VERSION}-$FLAVOUR
# a comment
FROM --platform=linux/amd64 $BASE AS Build
RUN apt-get update \\
    # in between

 && apt-get install -y \\
    gcc
FRO\\
M busybox
COPY --chown=1:1 --from=build /a /b
COPY --from=0 /a /c
COPY --from=tools/one:v1 /d /e
from build
ENV A=\${UNSET:-x} \\
CMD ["a"]
FROM \${MISSING:-scratch}
ADD --chown=1:1 files/ /app/
`)
  assert.deepEqual(requests, ['python:3.11-slim', 'busybox', 'tools/one:v1'])
  assert.equal(
    text,
    `# escape=\\
ARG VERSION=3.11 FLAVOUR="slim"
ARG BASE=python:\${VERSION}-$FLAVOUR
FROM sha256:python:3.11-slim AS Build
RUN apt-get update  && apt-get install -y     gcc
FROM sha256:busybox
COPY --chown=1:1 --from=build /a /b
COPY --from=0 /a /c
COPY --from=sha256:tools/one:v1 /d /e
FROM build
ENV A=\${UNSET:-x} CMD ["a"]
FROM scratch
COPY --chown=1:1 files/ /app/
`,
  )
})

test('anything that makes the engine itself fetch, or that is ambiguous, is refused', async () => {
  const refused: [string, RegExp][] = [
    ['RUN id', /has no FROM/],
    ['FROM a\nADD http://169.254.169.254/x /x', /^Line 2 .*adds from a URL/],
    ['FROM a\nENV U=http://x/y\nADD $U /x', /^Line 3/],
    ['FROM a\nADD ["ht\\u0074p\\u003a//x/y", "/x"]', /^Line 2/],
    ['FROM a\nAD\\\nD git@x.org:y /x', /^Line 2/],
    ['FROM a\nADD bomb.tar.gz /x', /^Line 2 .*adds an archive/],
    ['FROM a\nADD ["bomb.TGZ", "/x"]', /^Line 2 .*adds an archive/],
    ['FROM a\nONBUILD ADD x /x', /^Line 2 .*ONBUILD/],
    ['FROM a\nONBUILD ADD http://x/y /x', /^Line 2 .*ONBUILD/],
    ['FROM a\nONBUILD COPY --from=b / /', /^Line 2 .*ONBUILD/],
    // The engine takes a byte of à for a space when it looks for flags.
    ['FROM a\nCOPY --chown=0à--from=b / /', /^Line 2 .*options in a form that is not supported/],
    ['FROM a\nONBUILD COPY --chown=0à--from=b / /', /^Line 2 .*ONBUILD/],
    // A newer engine takes the stage b for a part of the text, and b for an image's id.
    ['FROM a\nCOPY x <<"LABEL a=b" /\nFROM a AS b\nLABEL a=b\nFROM a\nCOPY --from=b / /', /^Line 2 .*<</],
    ['FROM a\nRUN ${X:-}<<"LABEL a=b"', /^Line 2 .*<</],
    ['FROM a\nRUN cat 3<<-"LABEL a=b"', /^Line 2 .*<</],
    ['FROM a\nRUN <${X:-<}EOF', /^Line 2 .*<</],
    ['FROM a\nRUN ${X:-<}<EOF', /^Line 2 .*<</],
    ['FROM a\nONBUILD RUN <<"LABEL a=b"', /^Line 2 .*<</],
    ['FROM a\nCOPY --f"ro"m=b / /', /^Line 2 .*options in a form that is not supported/],
    ['FROM a\nCOPY --from=$B / /', /^Line 2/],
    ['FROM a\nCOPY --from=a --from=b / /', /--from twice/],
    // The engine takes the name of the stage itself for an image's id, or for its beginning.
    ['FROM a AS B\nCOPY --from=b / /', /^Line 2 .*copies from "b", which is not an earlier stage/],
    ['FROM a\nFROM b AS c\nCOPY --from=c / /', /^Line 3/],
    ['FROM a\nCOPY --from=0 / /', /^Line 2/],
    ['FROM a\nFROM b\nCOPY --from=99999999999999999999 / /', /^Line 3/],
    ['FROM a\nRUN x \\\\\nFROM b', /^Line 2 .*ends with/],
    ['FROM a\nRUN <<EOF\necho hello\nEOF', /^Line 3 .*is not an instruction/],
    ['FROM a\nRUN x\u0000', /control character/],
    ['FROM a\nRUN x\rFROM b', /control character/],
    ['FROM $X', /^Line 1 .*has a variable without a value: "\$X"/],
    ['ARG X\nFROM a$X', /^Line 2/],
    ['FROM a\nVOLUME', /^Line 2 .*not plain text/],
    ['FROM a\nVOLUME []', /^Line 2 .*not plain text/],
    ['FROM a\nVOLUME [/a]', /^Line 2 .*not plain text/],
    ['FROM a\nVOLUME ["/a", 1]', /^Line 2 .*not plain text/],
    ['FROM a\nVOLUME ["/a\\nADD b /c"]', /^Line 2 .*not plain text/],
    ['FROM a\nVOLUME /a" b="c', /^Line 2 .*not plain text/],
    ['FROM a\nONBUILD VOLUME /a', /^Line 2 .*ONBUILD/],
    ['FROM a b', /is not a valid FROM/],
    ['FROM a AS', /is not a valid FROM/],
    ['FROM', /is not a valid FROM/],
  ]
  for (const [text, message] of refused)
    await assert.rejects(pinned(text), { code: 'source_refused', message }, JSON.stringify(text))
})

test("an image's ONBUILD trigger must be one plain instruction, or it is refused", () => {
  for (const text of ['RUN npm ci', 'COPY . /app', 'COPY --chown=1:1 . /app', 'WORKDIR /app', 'ENV A="\\"'])
    assert.ok(!isRefusedTrigger(text), text)
  for (const text of [
    'COPY --from=b / /',
    'copy\t--from=b / /',
    'COPY \\\n--from=b / /',
    'COPY \\\r\n--from=b / /',
    'RUN x\nCOPY --from=b / /',
    '# escape=`\nCOPY `\n--from=b / /',
    'ADD a /a',
    'VOLUME /a',
    'ONBUILD RUN x',
    'FROM b',
    '',
  ])
    assert.ok(isRefusedTrigger(text), JSON.stringify(text))
})

test('a volume becomes a label, and no build step gets any of it', async () => {
  const { text } = await pinned('FROM a\nVOLUME /data  $MORE/x\nFROM b\nvolume ["/my data", "/d"]\nRUN x')
  assert.equal(
    text,
    `# escape=\\
FROM sha256:a
LABEL errand.volume.1="/data" errand.volume.2="$MORE/x"
FROM sha256:b
LABEL errand.volume.3="/my data" errand.volume.4="/d"
RUN x
`,
  )
})

test('the character that joins lines is the one that the file names', async () => {
  const { text } = await pinned('# escape=`\nFROM a\nRUN one `\n two\nRUN three \\\nRUN four')
  assert.equal(text, '# escape=`\nFROM sha256:a\nRUN one  two\nRUN three \\\nRUN four\n')
})
