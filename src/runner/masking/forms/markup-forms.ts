/** Entities that encoders write for characters that markup reserves, besides `&`, `<` and `>`. */
const ENTITIES: readonly Readonly<Record<string, string>>[] = [
  // XML's text; its attributes; jq and XML of Java; HTML of Python, of most others, of PHP, of Go
  {},
  { '"': '&quot;' },
  { '"': '&quot;', "'": '&apos;' },
  { '"': '&quot;', "'": '&#x27;' },
  { '"': '&quot;', "'": '&#39;' },
  { '"': '&quot;', "'": '&#039;' },
  { '"': '&#34;', "'": '&#39;' },
  // Careful encoders; Mustache and Handlebars
  { '"': '&quot;', "'": '&#x27;', '/': '&#x2F;' },
  { '"': '&quot;', "'": '&#39;', '/': '&#x2F;', '`': '&#x60;', '=': '&#x3D;' },
  { '"': '&quot;', "'": '&#x27;', '`': '&#x60;', '=': '&#x3D;' },
]

const ALWAYS: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;' }

type Reference = (point: number) => string
const decimal: Reference = (point) => `&#${point};`
const hex: Reference = (point) => `&#x${point.toString(16)};`
const capitalHex: Reference = (point) => `&#x${point.toString(16).toUpperCase()};`

/** Characters written as a reference: none; a carriage return, or all white space, in XML; all but ASCII. */
const REFERRED: readonly [RegExp, readonly Reference[]][] = [
  [/(?!)/u, [decimal]],
  [/\r/u, [decimal, capitalHex]],
  [/[\t\n\r]/u, [decimal, capitalHex]],
  [/[^\x00-\x7f]/u, [decimal, hex, capitalHex]],
]

/** Returns the forms in HTML and XML of different encoders. */
export function markupForms(text: string): string[] {
  const forms = ENTITIES.flatMap((entities) =>
    REFERRED.flatMap(([referred, references]) =>
      references.map((reference) => markup(text, { ...ALWAYS, ...entities }, referred, reference)),
    ),
  )
  return [...forms, markup(text, { '&': '&amp;', '<': '&lt;' }, /(?!)/u, decimal)]
}

function markup(
  text: string,
  entities: Readonly<Record<string, string>>,
  referred: RegExp,
  reference: Reference,
): string {
  return Array.from(text, (character) =>
    referred.test(character) ? reference(character.codePointAt(0)!) : (entities[character] ?? character),
  ).join('')
}
