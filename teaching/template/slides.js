// Start reveal.js, once the formulas are set and every slide fits its screen.
(function () {
  'use strict';
  const WIDTH = 1280;
  const HEIGHT = 720;
  const LEAST = 0.7; // a slide is never shrunk below this

  // Return the sections that are slides, not stacks of slides.
  function leaves() {
    return [...document.querySelectorAll('.reveal .slides section')].filter(
      (section) => !section.querySelector('section')
    );
  }

  // Lay a slide out as reveal.js will, and call back.
  function shown(section, then) {
    const chain = [section, section.parentElement.closest('section')];
    const before = chain.map((one) => one && one.getAttribute('style'));
    chain.forEach((one) => {
      if (one) {
        one.style.cssText =
          'display:block!important;position:absolute;width:' + WIDTH + 'px;' +
          'top:0;height:auto;min-height:0;visibility:hidden';
      }
    });
    const value = then();
    chain.forEach((one, n) => {
      if (one) {
        before[n] === null
          ? one.removeAttribute('style')
          : one.setAttribute('style', before[n]);
      }
    });
    return value;
  }

  // Make a figure as large as its slide allows, at most half as large again.
  function enlarge(image) {
    const most = Math.min(
      1.5, 1180 / image.naturalWidth, 600 / image.naturalHeight
    );
    if (image.naturalWidth) {
      image.style.width = Math.round(image.naturalWidth * most) + 'px';
      image.style.maxWidth = 'none';
      image.style.height = 'auto';
    }
  }

  function fit(section) {
    const box = document.createElement('div');
    box.className = 'fit';
    [...section.childNodes].forEach((node) => {
      if (!(node.nodeName === 'ASIDE')) box.appendChild(node);
    });
    section.prepend(box);
    shown(section, () => {
      let scale = 1;
      while (
        scale > LEAST &&
        (section.scrollHeight > HEIGHT || box.scrollWidth > box.clientWidth)
      ) {
        scale = Math.max(LEAST, scale - 0.05);
        box.style.zoom = scale;
      }
      section.dataset.scale = scale.toFixed(2);
    });
  }

  async function start() {
    await MathJax.startup.promise;
    await Promise.all([...document.images].map((one) =>
      one.decode().catch(() => {})));
    document.querySelectorAll('.jp-OutputArea-output img').forEach(enlarge);
    leaves().forEach(fit);
    await Reveal.initialize({
      width: WIDTH,
      height: HEIGHT,
      margin: 0,
      center: false,
      hash: true,
      slideNumber: 'c/t',
      transition: 'none',
      plugins: [RevealNotes],
    });
    document.documentElement.dataset.ready = 'yes';
  }
  start();
})();
