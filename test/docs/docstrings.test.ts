/** Whatever a user can write is explained where it is written: by the editor, from the docstring. */
import { join } from 'node:path'
import t from 'tap'
import ts from 'typescript'
import { ROOT } from '../support/fences.ts'

const entries = ['plugin.ts', 'testing.ts', 'opentelemetry.ts', 'inspector.ts'].map(file => join(ROOT, file))
const program = ts.createProgram(entries, { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.NodeNext, strict: true, noEmit: true, allowImportingTsExtensions: true, types: ['node'] })
const checker = program.getTypeChecker()

const explains = (symbol: ts.Symbol) => symbol.getDocumentationComment(checker).length > 0
const isOurs = (symbol: ts.Symbol) => symbol.declarations?.every(declaration => !declaration.getSourceFile().fileName.includes('node_modules')) === true
const isInternal = (symbol: ts.Symbol) => symbol.name.startsWith('#') || symbol.getJsDocTags().some(({ name }) => name === 'internal')

/** What of this package can be imported, by its name, as it is declared. */
const exported = entries.flatMap(file => {
  const source = program.getSourceFile(file)
  const module = source && checker.getSymbolAtLocation(source)
  return module === undefined ? [] : checker.getExportsOfModule(module)
}).map(symbol => symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol)

/** The members of a type, those that it inherits, too. */
function membersOf (symbol: ts.Symbol): ts.Symbol[] {
  return checker.getDeclaredTypeOfSymbol(symbol).getProperties().filter(member => isOurs(member) && !isInternal(member))
}

void t.test('each export has a docstring', async t => {
  t.ok(exported.length > 30)
  t.same(exported.filter(symbol => !explains(symbol)).map(({ name }) => name), [])
})

void t.test('each member of a public type has one', async t => {
  const missing = exported.flatMap(symbol => membersOf(symbol).filter(member => !explains(member)).map(member => `${symbol.name}.${member.name}`))
  t.same(missing, [])
})
