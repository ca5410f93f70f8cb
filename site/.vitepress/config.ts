/** The site, of the Markdown that is in the repository: the README, docs/, and what they link to. */
import { defineConfig, type Plugin } from 'vitepress'
import { copySources, localLinks, slug } from './links.ts'
import { PAGES, SIDEBAR } from './pages.ts'

/** Pages are compiled to modules that import vue, and are not where they would find it. */
const vueOfThisFolder: Plugin = {
  name: 'vue-of-this-folder',
  enforce: 'pre',
  async resolveId (source, importer, options) {
    const isOfPage = importer?.includes('.md') === true && /^vue($|\/)/.test(source)
    return isOfPage ? await this.resolve(source, import.meta.filename, { ...options, skipSelf: true }) : null
  }
}

export default defineConfig({
  title: 'fastify-scoped-db',
  description: 'Request-scoped MikroORM sessions for Fastify',
  lang: 'en',
  head: [['link', { rel: 'icon', href: 'data:,' }]],
  srcDir: '..',
  srcExclude: PAGES.excluded,
  outDir: '.vitepress/dist',
  rewrites: page => page.replace(/README\.md$/, 'index.md'),
  markdown: {
    anchor: { slugify: slug },
    config: localLinks
  },
  vite: { plugins: [vueOfThisFolder] },
  themeConfig: {
    search: { provider: 'local' },
    nav: [{ text: 'Quick start', link: '/#quick-start' }, { text: 'API', link: '/docs/api' }, { text: 'Errors', link: '/docs/errors' }, { text: 'Recipes', link: '/docs/recipes/' }],
    sidebar: SIDEBAR,
    outline: 'deep'
  },
  async buildEnd ({ outDir }) { await copySources(outDir) }
})
