# An image for a classroom's JupyterHub: JupyterLab with the course installed.
#
#   docker build --tag attention-course .
#   docker run --rm --publish 8888:8888 attention-course
#
# In JupyterHub: DockerSpawner.image or KubeSpawner.image = "attention-course".
# The tag is the Python with which the outputs were stored. With
#   --build-arg PIP_EXTRA_INDEX_URL=...
# set to PyTorch's index of CPU builds, the image is several GB smaller.
FROM python:3.11-slim-bookworm

ENV NB_USER=jovyan NB_UID=1000 NB_GID=100 HOME=/home/jovyan
RUN useradd --create-home --uid "${NB_UID}" --gid "${NB_GID}" "${NB_USER}"

# The course lies outside the home folder, which a hub covers with the
# student's own volume; each start copies what is not there yet.
# hadolint ignore=DL3066
USER root
WORKDIR /opt/attention-course
COPY --chown=${NB_UID}:${NB_GID} LICENSE LICENSE-CC-BY-4.0 README.md \
     constraints.txt pyproject.toml requirements.txt ./
COPY --chown=${NB_UID}:${NB_GID} attn_course attn_course
COPY --chown=${NB_UID}:${NB_GID} experiments experiments
COPY --chown=${NB_UID}:${NB_GID} figures figures
COPY --chown=${NB_UID}:${NB_GID} notebooks notebooks
# hadolint ignore=SC2016
RUN printf '%s\n' \
      '#!/bin/sh' \
      'mkdir -p "$HOME/attention-course"' \
      'cp -rn /opt/attention-course/notebooks /opt/attention-course/figures /opt/attention-course/experiments "$HOME/attention-course/"' \
      'exec "$@"' \
      > /usr/local/bin/with-the-course && \
    chmod +x /usr/local/bin/with-the-course && \
    chown "${NB_UID}:${NB_GID}" /opt/attention-course

ARG PIP_EXTRA_INDEX_URL=
RUN pip install --no-cache-dir -r requirements.txt && \
    pip install --no-cache-dir -c constraints.txt jupyterhub==6.1.1

# hadolint ignore=DL3066
USER ${NB_UID}
WORKDIR ${HOME}
EXPOSE 8888
ENTRYPOINT ["with-the-course"]
CMD ["jupyter", "lab", "--ip=0.0.0.0", "--no-browser"]
