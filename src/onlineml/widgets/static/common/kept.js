// What a view has not saved yet.

/** It outlasts the kernel, the view and a reload of the page, for the view that comes after. */
class Kept {
  constructor(link, what) {
    this.link = link;
    this.begin = `onlineml ${what} `;
    globalThis.onlinemlViews ??= new Set(); // of this page: what they keep is theirs
    this.views = globalThis.onlinemlViews;
    this.views.add(link.name);
    link.gone.signal.addEventListener("abort", () => this.views.delete(link.name));
  }

  /** Keep a value in place of the one before; null for none. */
  put(value) {
    try {
      if (value === null) sessionStorage.removeItem(this.begin + this.link.name);
      else sessionStorage.setItem(this.begin + this.link.name, JSON.stringify(value));
    } catch {
      // nothing can be kept here
    }
  }

  /** Take over what views kept that are gone, or whose kernel is. */
  take() {
    try {
      const keys = Object.keys(sessionStorage).filter((key) => key.startsWith(this.begin) && !this.views.has(key.slice(this.begin.length)));
      return keys.map((key) => {
        const value = JSON.parse(sessionStorage.getItem(key));
        sessionStorage.removeItem(key);
        return value;
      });
    } catch {
      return [];
    }
  }
}

